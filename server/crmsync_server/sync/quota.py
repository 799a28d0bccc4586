"""One account's allowance as an adapter sees it: reserve in Postgres, then wait one's turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from crmsync_server.crm.adapter import Limit, QuotaExhaustedError
from crmsync_server.store import quota
from crmsync_server.store.db import Database

_PATIENCE = timedelta(seconds=5)
_BURST_SHARE = 0.05
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Pace:
    """A limit as GCRA wants it: the time between calls, and how far ahead they may be."""

    interval: timedelta
    burst: timedelta


class AccountQuota:
    """The shared allowance of one organization at one CRM, over all replicas."""

    def __init__(self, database: Database, org_id: str, crm: str) -> None:
        """Draw on the rows of this account; limit() says what it has."""
        self._database = database
        self._org_id = org_id
        self._crm = crm
        self._paces: dict[str, _Pace] = {}

    def limit(self, limits: Sequence[Limit]) -> None:
        """Take over what the adapter declares."""
        self._paces = {limit.bucket: _pace(limit) for limit in limits}

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Reserve calls and wait until they may be made; a bucket without a limit is free.

        Raises QuotaExhaustedError when the wait would be longer than a few seconds.
        """
        pace = self._paces.get(bucket)
        if pace is None:
            return
        draw = quota.Draw(self._org_id, self._crm, bucket, pace.interval * calls, pace.burst)
        async with self._database.org(self._org_id) as connection:
            wait = await quota.reserve(connection, draw, _PATIENCE)
            if wait is None:
                raise QuotaExhaustedError(bucket, await quota.next_time(connection, draw))
        if wait > timedelta(0):
            await asyncio.sleep(wait.total_seconds())


def _pace(limit: Limit) -> _Pace:
    # In any window of one period GCRA lets through the burst and the steady rate: together they
    # must stay within the limit. A day's allowance may be spent at any hour, so all of it is burst.
    if limit.period >= _DAY:
        return _Pace(limit.period / limit.calls, limit.period)
    burst = max(1, int(limit.calls * _BURST_SHARE))
    interval = limit.period / max(1, limit.calls - burst)
    return _Pace(interval, interval * burst)
