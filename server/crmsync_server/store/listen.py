"""The one LISTEN connection of a process: hints of what other processes changed.

It goes to Postgres itself: a PgBouncer in transaction mode hands a listener's connection to
somebody else.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import structlog

from crmsync_server.store.notify import CHANNELS, parted

Callback = Callable[[str | None], None]

_CHECK_INTERVAL = 15.0  # seconds; a half-open connection is found out within two of them
_FIRST_PAUSE = 0.1  # seconds before the first attempt to reconnect; each doubles the longest
_LONGEST_PAUSE = 5.0

_log = structlog.get_logger()


class Listener:
    """Listens on every channel, and reconnects by itself."""

    def __init__(self, url: str, check_interval: float = _CHECK_INTERVAL) -> None:
        """Name the server; nothing is connected before `start`.

        Args:
            url: of the database itself, past any pooler.
            check_interval: seconds between two proofs of life.
        """
        self._url = url
        self._check_interval = check_interval
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, channel: str, callback: Callback) -> Callable[[], None]:
        """Have every hint of a channel, of notify.CHANNELS; returns what ends it.

        The callback runs in the event loop and returns at once. It is called with None when
        hints may have been lost, and anything may have changed.
        """
        self._callbacks[channel].append(callback)
        return lambda: self._callbacks[channel].remove(callback)

    async def start(self) -> None:
        """Connect and listen.

        Raises:
            OSError, asyncpg.PostgresError: the first connection is refused.
        """
        connection = await self._connect()
        self._task = asyncio.create_task(self._loop(connection), name="listen")

    async def stop(self) -> None:
        """Stop listening; no callback is called any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    async def _loop(self, connection: asyncpg.Connection) -> None:
        while True:
            await self._watch(connection)
            _log.warning("listener lost its connection")
            connection = await self._reconnect()
            for channel in self._callbacks:
                self._tell(channel, None)

    async def _watch(self, connection: asyncpg.Connection) -> None:
        """Return when the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            while not (connection.is_closed() or lost.is_set()):
                await self._check(connection, lost)
        finally:
            connection.terminate()

    async def _check(self, connection: asyncpg.Connection, lost: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_interval):
                await lost.wait()
                return
        try:
            await connection.fetchval("SELECT 1", timeout=self._check_interval)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            lost.set()

    async def _reconnect(self) -> asyncpg.Connection:
        longest = _FIRST_PAUSE
        while True:
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, no secret
            longest = min(2 * longest, _LONGEST_PAUSE)
            try:
                return await self._connect()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("listener cannot connect", error=str(error))

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._url, statement_cache_size=0, timeout=10)
        for channel in CHANNELS:
            await connection.add_listener(channel, self._hear)
        return connection

    def _hear(self, _connection: object, _pid: int, channel: str, payload: str) -> None:
        hints = parted(payload)
        for hint in [None] if hints is None else hints:
            self._tell(channel, hint)

    def _tell(self, channel: str, hint: str | None) -> None:
        for callback in tuple(self._callbacks[channel]):
            callback(hint)
