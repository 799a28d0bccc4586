"""The janitor: makes room ahead in the history, and throws away what is past its retention."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from crmsync_server.store import hours, notice, partitions, recent_search, request, session
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.sync.duty import Duty

_log = structlog.get_logger()

_INTERVAL = timedelta(hours=1)
_BATCH = 20
_NOTICES_RETENTION = timedelta(days=8)  # no CRM sends a webhook again after seven
_NOTICES_BATCH = 1000


class Janitor:
    """Keeps the tables that grow with time within their retentions."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        *,
        attempts_retention: timedelta,
        sessions_retention: timedelta,
        statistics_retention: timedelta,
    ) -> None:
        """Tidy up every hour; retentions in whole days."""
        self._database = database
        self._clock = clock
        self._attempts_retention = attempts_retention
        self._sessions_retention = sessions_retention
        self._statistics_retention = statistics_retention
        self._duty = Duty("janitor", self.turn)

    def start(self) -> None:
        """Begin with a first round at once."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop tidying up."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Tidy up once; return the seconds to the next time.

        A day whose partition cannot be made now, because somebody reads the history for long, is
        kept in the default partition until it can.
        """
        kept = await self._keep_partitions()
        async with self._database.everyone() as connection:
            requests = await request.purge(connection)
            searches = await recent_search.purge(connection)
            await hours.fold(connection)
            statistics = await hours.purge(connection, days=self._statistics_retention.days)
        ended = await self._purge_sessions()
        notices = await _until_less(self._purge_notices, _NOTICES_BATCH)
        done = {
            "partitions_made": len(kept.made),
            "partitions_dropped": len(kept.dropped),
            "requests": requests,
            "sessions": ended,
            "notices": notices,
            "searches": searches,
            "statistics": statistics,
        }
        if any(done.values()):
            _log.info("tidied up", **done)
        return _INTERVAL.total_seconds()

    async def _keep_partitions(self) -> partitions.Kept:
        try:
            async with self._database.everyone() as connection:
                today = self._clock().date()
                return await partitions.keep(connection, today, self._attempts_retention)
        except FAULTS:
            _log.warning("the history's partitions were not kept up", exc_info=True)
            return partitions.Kept()

    async def _purge_notices(self) -> int:
        async with self._database.everyone() as connection:
            return await notice.purge(connection, age=_NOTICES_RETENTION, size=_NOTICES_BATCH)

    async def _purge_sessions(self) -> int:
        async def some() -> int:
            async with self._database.everyone() as connection:
                days = self._sessions_retention.days
                return await session.purge(connection, days=days, size=_BATCH)

        return await _until_less(some, _BATCH)


async def _until_less(work: Callable[[], Awaitable[int]], size: int) -> int:
    total = done = await work()
    while done == size:
        done = await work()
        total += done
    return total
