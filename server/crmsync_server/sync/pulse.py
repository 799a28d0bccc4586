"""The pulse: notices that the database is away, so that callers are sent elsewhere meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
import structlog

from crmsync_server.store.db import FAULTS, Database
from crmsync_server.sync.duty import Duty

_log = structlog.get_logger()

_INTERVAL = 5.0
_PATIENCE = 3.0
_MISSES = 2  # one may be a connection that broke


class Pulse:
    """Asks the database for an answer every few seconds, and says when that begins or ends."""

    def __init__(
        self,
        database: Database,
        tell: Callable[[bool], Awaitable[None]],
        interval: float = _INTERVAL,
    ) -> None:
        """Tell whether the database answers, each time that changes; at first it does.

        interval: seconds between two questions.
        """
        self._database = database
        self._tell = tell
        self._interval = interval
        self._missed = 0
        self._duty = Duty("pulse", self.turn)

    def start(self) -> None:
        """Begin to ask."""
        self._duty.start()

    async def stop(self) -> None:
        """Ask no more."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Ask once; return the seconds to the next time."""
        answered = await self._answers()
        gone = self._missed >= _MISSES
        self._missed = 0 if answered else self._missed + 1
        if answered and gone:
            _log.info("the database answers again")
            await self._tell(True)  # noqa: FBT003 - that is what is told
        elif self._missed == _MISSES:
            _log.error("the database does not answer, callers are sent elsewhere")
            await self._tell(False)  # noqa: FBT003 - that is what is told
        return self._interval

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE), self._database.everyone() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except (*FAULTS, TimeoutError):
            return False
        return True
