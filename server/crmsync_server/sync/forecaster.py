"""The forecasts of sessions, from what all replicas have noted of their lanes and allowances."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import Limit
from crmsync_server.store import forecast as store
from crmsync_server.store import quota
from crmsync_server.store.quota import Book
from crmsync_server.sync.forecast import Bucket, Forecast, Outlook, forecast
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.quota import HIGH_SHARE
from crmsync_server.sync.quota_book import allowed, fresh, held, roll
from crmsync_server.sync.quota_rules import LATE, next_midnight, rules

_log = structlog.get_logger()

Key = tuple[str, UUID]
Noted = tuple[Book, float]
Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Forecaster:
    """Makes the forecasts of sessions, from what all replicas have noted."""

    def __init__(
        self,
        deliverer: Callable[[str, str], Awaitable[Deliverer | None]],
        high_share: float = HIGH_SHARE,
    ) -> None:
        """Take how (org_id, crm) is delivered to, None when it is not."""
        self._deliverer = deliverer
        self._share = high_share

    async def of(
        self, sessions: Sequence[sa.Row[Any]], transaction: Transaction
    ) -> Mapping[Key, Forecast]:
        """Return the forecasts of sessions that have not ended, by organization and id.

        sessions: rows with org_id, id, crm and end_time.
        transaction: opens one that sees them.
        """
        open_ones = [row for row in sessions if row.end_time is None]
        lanes = sorted({(row.org_id, row.crm) for row in open_ones})
        # Before a connection is held: finding out may need another one.
        asked = {lane: await self._find(*lane) for lane in lanes}
        deliverers = {lane: deliverer for lane, deliverer in asked.items() if deliverer}
        wanted = [(row.org_id, row.id) for row in open_ones if (row.org_id, row.crm) in deliverers]
        if not wanted:
            return {}
        async with transaction() as connection:
            outlooks = await store.outlooks(connection, wanted)
            noted = await quota.read(connection, list(deliverers))
        books = {(org_id, crm, book.bucket): (book, now) for org_id, crm, book, now in noted}
        made = {
            (row.org_id, row.id): self._foreseen(row, deliverers[row.org_id, row.crm], books)
            for row in outlooks
        }
        return {key: one for key, one in made.items() if one is not None}

    async def allowances(self, org_id: str, crm: str, transaction: Transaction) -> Sequence[Bucket]:
        """Return what is left of each allowance of an account; nothing without one."""
        deliverer = await self._find(org_id, crm)
        if deliverer is None:
            return ()
        async with transaction() as connection:
            noted = await quota.read(connection, [(org_id, crm)])
        books = {book.bucket: (book, now) for _, _, book, now in noted}
        limits = deliverer.adapter.capabilities.limits
        return [_bucket(limit, self._share, books.get(limit.bucket)) for limit in limits]

    def _foreseen(
        self, row: sa.Row[Any], by: Deliverer, books: Mapping[tuple[str, str, str], Noted]
    ) -> Forecast | None:
        buckets = [
            _bucket(limit, self._share, books.get((row.org_id, row.crm, limit.bucket)))
            for limit in by.adapter.capabilities.limits
            if limit.delivers
        ]
        return forecast(_outlook(row, by.batch_size, buckets), datetime.now(UTC))

    async def _find(self, org_id: str, crm: str) -> Deliverer | None:
        try:
            return await self._deliverer(org_id, crm)
        except Exception:  # noqa: BLE001 - whatever is wrong with an account, its sessions are shown
            _log.warning("no forecast", org_id=org_id, crm=crm, exc_info=True)
            return None


def _outlook(row: sa.Row[Any], batch_size: int, buckets: Sequence[Bucket]) -> Outlook:
    pending, queued = int(row.pending), int(row.open)
    return Outlook(
        pending=pending,
        ahead=max(0, queued - pending - int(row.later)),
        batch_size=batch_size,
        records_per_second=row.records_per_second,
        starts=None if row.stopped else max(0.0, row.paused_seconds or 0.0),
        buckets=buckets,
    )


def _bucket(limit: Limit, share: float, noted: Noted | None) -> Bucket:
    kept = rules(limit, share)
    book, now = noted or (fresh(kept), datetime.now(UTC).timestamp())
    if book.period != kept.period:
        book = fresh(kept)
    roll(book, kept, now)
    if book.reset is None and kept.is_daily:
        # Not known yet; any day ends at midnight somewhere.
        book.reset = next_midnight(now, UTC)
    calls = allowed(book, now)
    reset = None if book.reset is None else book.reset + LATE - now
    return Bucket(
        name=limit.bucket,
        calls=calls,
        period=kept.period,
        left=max(0, calls - held(book, kept, now)),
        kept=kept.reserve(calls, reset),
        reset=reset,
        opens=max(0.0, (book.blocked_until or now) - now),
    )
