"""Rescue: what a dead server was working on goes back to the queue, and is counted."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from crmsync_server.store import queue
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
        idempotent: Callable[[str, str], bool],
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
        while await self._rescue_some() == _BATCH:
            continue
        return self._interval.total_seconds()

    async def _rescue_some(self) -> int:
        lanes: dict[tuple[str, str], list[sa.Row[Any]]] = defaultdict(list)
        receipts: list[tuple[str, str, queue.Receipt]] = []
        async with self._database.everyone() as connection:
            expired = await queue.lock_expired(connection, size=_BATCH)
            for row in expired:
                lanes[row.org_id, row.crm].append(row)
            for (org_id, crm), rows in sorted(lanes.items()):
                idempotent = self._idempotent(org_id, crm)
                ended = self._ended(rows, idempotent=idempotent)
                receipt = await queue.finish(connection, org_id, crm, ended)
                receipts.append((org_id, crm, receipt))
        for org_id, crm, receipt in receipts:
            _log.warning("rescued deliveries", org_id=org_id, crm=crm, count=receipt.finished)
            self._hints.moved(org_id, receipt)
            self._hints.queued(org_id, crm)
        return len(expired)

    def _ended(self, rows: Sequence[sa.Row[Any]], *, idempotent: bool) -> list[queue.Finished]:
        now = self._clock()
        return [expire(row, self._policy, now, idempotent=idempotent) for row in rows]
