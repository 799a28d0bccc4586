"""Rescue: what a dead server was working on goes back to the queue, and is counted."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from crmsync_server.store import queue
from crmsync_server.store.claimed import Expired
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.verdict import RetryPolicy, expire

_log = structlog.get_logger()

_BATCH = 500


class Rescue:
    """Finishes attempts whose lease is over as LEASE_EXPIRED, whoever held them."""

    def __init__(
        self,
        database: Database,
        hints: Hints,
        policy: RetryPolicy,
        interval: timedelta,
        clock: Callable[[], datetime],
        idempotent: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        """Look for expired leases every interval.

        idempotent: whether the CRM of (org_id, crm) may be given a record again.
        """
        self._database = database
        self._hints = hints
        self._policy = policy
        self._interval = interval
        self._clock = clock
        self._idempotent = idempotent
        self._duty = Duty("rescue", self.turn)

    def start(self) -> None:
        """Begin looking."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Rescue everything that is expired now; return the seconds to the next look."""
        async with self._database.everyone() as connection:
            found = await queue.expired_lanes(connection)
        for lane in found:
            await self._rescue_lane(lane.org_id, lane.crm)
        return self._interval.total_seconds()

    async def _rescue_lane(self, org_id: str, crm: str) -> None:
        try:
            while await self._rescue_some(org_id, crm) == _BATCH:
                continue
        except Exception:  # noqa: BLE001 - one lane's fault must not keep the others waiting
            _log.exception("a lane was not rescued, will try again", org_id=org_id, crm=crm)

    async def _rescue_some(self, org_id: str, crm: str) -> int:
        idempotent = await self._idempotent(org_id, crm)
        async with self._database.org(org_id, by_index=True) as connection:
            expired = await queue.lock_expired(connection, org_id, crm, size=_BATCH)
            if not expired:
                return 0
            ended = self._ended(expired, idempotent=idempotent)
            receipt = await queue.finish(connection, org_id, crm, ended)
        _log.warning("rescued deliveries", org_id=org_id, crm=crm, count=receipt.finished)
        self._hints.moved(org_id, receipt)
        self._hints.queued(org_id, crm)
        return len(expired)

    def _ended(self, rows: Sequence[Expired], *, idempotent: bool) -> list[queue.Finished]:
        now = self._clock()
        return [expire(row, self._policy, now, idempotent=idempotent) for row in rows]
