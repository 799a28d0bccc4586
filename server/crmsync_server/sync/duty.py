"""A background duty: a loop that someone starts, wakes and stops, and that outlives its faults."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from crmsync_server.store.lost import lost

_log = structlog.get_logger()

_PAUSE_AFTER_FAULT = 1.0


class Duty:
    """Calls `turn` again and again: when the seconds that it returned are over, or when woken."""

    def __init__(self, name: str, turn: Callable[[], Awaitable[float]]) -> None:
        """Name the duty for the log; turn returns how many seconds to rest."""
        self._name = name
        self._turn = turn
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waits = False

    def start(self) -> None:
        """Begin with a first turn at once."""
        self._task = asyncio.create_task(self._loop(), name=self._name)

    def wake(self) -> None:
        """Take the next turn now; several wakes before it are one."""
        self._woken.set()

    async def stop(self) -> None:
        """End the loop, a turn under way included; it is safe at any await."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _loop(self) -> None:
        while True:
            rest = await self._guarded_turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()
            self._woken.clear()

    async def _guarded_turn(self) -> float:
        try:
            rest = await self._turn()
        except Exception as error:  # noqa: BLE001 - a duty outlives any fault, and tells of it
            self._tell(error)
            return _PAUSE_AFTER_FAULT
        self._waits = False
        return rest

    def _tell(self, error: Exception) -> None:
        cause = lost(error)
        if cause is None:
            _log.error("duty failed, will try again", duty=self._name, exc_info=error)
        elif not self._waits:
            # The database may be away for long; the duty goes on when it is back.
            kind = type(cause).__name__
            _log.warning(
                "duty waits for the database", duty=self._name, kind=kind, error=str(cause)
            )
        self._waits = cause is not None
