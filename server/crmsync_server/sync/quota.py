"""One account's allowance as an adapter sees it: reserve in Postgres, then wait one's turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crmsync_server.crm.adapter import Allowance, Limit, QuotaExhaustedError
from crmsync_server.store import quota
from crmsync_server.store.db import Database

_PATIENCE = timedelta(seconds=5)
_BURST_SHARE = 0.05
_DAILY_BURST_SHARE = 0.5
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Spacing:
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
        self._spacings: dict[str, Spacing] = {}

    def limit(self, limits: Sequence[Limit]) -> None:
        """Take over what the adapter declares."""
        self._spacings = {limit.bucket: spacing(limit) for limit in limits}

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Reserve calls and wait until they may be made; a bucket without a limit is free.

        Raises QuotaExhaustedError when the wait would be longer than a few seconds.
        """
        kept = self._spacings.get(bucket)
        if kept is None:
            return
        draw = quota.Draw(self._org_id, self._crm, bucket, kept.interval * calls, kept.burst)
        async with self._database.org(self._org_id) as connection:
            wait = await quota.reserve(connection, draw, _PATIENCE)
            if wait is None:
                raise QuotaExhaustedError(bucket, await quota.next_time(connection, draw))
        if wait > timedelta(0):
            await asyncio.sleep(wait.total_seconds())

    def learn(self, told: Allowance) -> None:
        """Take over what the CRM itself said of a bucket."""

    def refused(self, bucket: str, until: datetime) -> None:
        """Give way after a 429."""


def spacing(limit: Limit) -> Spacing:
    """Return how GCRA keeps a limit: no window of one period has more calls than it allows."""
    # Any window gets at most the burst and the steady rate: together they stay within the limit.
    # Half of a day's allowance may be spent at any hour.
    share = _DAILY_BURST_SHARE if limit.period >= _DAY else _BURST_SHARE
    burst = max(1, int(limit.calls * share))
    interval = limit.period / max(1, limit.calls - burst)
    return Spacing(interval, interval * burst)
