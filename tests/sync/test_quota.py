"""The shared allowance: what it grants, by the times that it says, without waiting for them."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.crm.adapter import Limit, QuotaExhaustedError
from crmsync_server.store import quota
from crmsync_server.store.db import Database
from crmsync_server.sync.quota import AccountQuota, spacing
from tests.store.people import CRM, ORG

PATIENT = timedelta(days=30)


def granted(limit: Limit, arrivals: list[float]) -> list[float]:
    """Return when calls may be made that are asked for at these times, as reserve.sql has it."""
    interval = spacing(limit).interval.total_seconds()
    burst = spacing(limit).burst.total_seconds()
    arrival_time = 0.0
    times = []
    for now in sorted(arrivals):
        arrival_time = max(arrival_time, now) + interval
        times.append(max(now, arrival_time - burst))
    return times


@given(
    calls=st.integers(1, 60),
    period=st.sampled_from((1.0, 10.0, 3600.0, 86400.0)),
    arrivals=st.lists(st.floats(0, 3), min_size=1, max_size=200),
)
def test_no_window_of_one_period_has_more_calls_than_the_limit(
    calls: int, period: float, arrivals: list[float]
) -> None:
    """Wherever the window begins, however the calls come in."""
    limit = Limit("burst", calls, timedelta(seconds=period))
    times = granted(limit, [arrival * period for arrival in arrivals])
    for first, one_too_many in zip(times, times[calls:], strict=False):
        assert one_too_many - first >= period * (1 - 1e-6)


async def test_postgres_grants_by_the_same_times(database: Database) -> None:
    """Calls beyond the burst are an interval apart."""
    limit = Limit("burst", 40, timedelta(seconds=400))
    draw = quota.Draw(ORG, CRM, "burst", spacing(limit).interval, spacing(limit).burst)
    times: list[datetime] = []
    for _ in range(8):
        async with database.org(ORG) as connection:
            wait = await quota.reserve(connection, draw, PATIENT)
            assert wait is not None
            times.append(await connection.scalar(sa.text("SELECT now()")) + wait)
    apart = [(later - earlier) / spacing(limit).interval for earlier, later in pairwise(times)]
    assert apart[0] < 0.1
    assert apart[3:] == pytest.approx([1.0] * 4)


async def test_two_servers_share_one_allowance(database: Database) -> None:
    """What one has taken is not there for the other, which is told when it will be."""
    limit = Limit("daily", 2, timedelta(hours=20))
    first, second = AccountQuota(database, ORG, CRM), AccountQuota(database, ORG, CRM)
    for one in (first, second):
        one.limit([limit])
    await first.take("daily")
    with pytest.raises(QuotaExhaustedError) as exhausted:
        await second.take("daily")
    async with database.org(ORG) as connection:
        now = await connection.scalar(sa.text("SELECT now()"))
    assert exhausted.value.bucket == "daily"
    until = exhausted.value.until - now
    assert timedelta(hours=19, minutes=59) < until <= timedelta(hours=20)


async def test_a_refused_call_takes_nothing(database: Database) -> None:
    """Asking again and again does not push the next grant away."""
    account = AccountQuota(database, ORG, CRM)
    account.limit([Limit("daily", 1, timedelta(hours=1))])
    await account.take("daily")
    until = set()
    for _ in range(3):
        with pytest.raises(QuotaExhaustedError) as exhausted:
            await account.take("daily")
        until.add(exhausted.value.until)
    assert len(until) == 1


async def test_accounts_and_buckets_are_apart_and_the_unlimited_is_free(database: Database) -> None:
    """One that is used up says nothing of another."""
    buckets = [(ORG, "daily"), (ORG, "search"), ("globex", "daily")]
    for org_id, bucket in buckets:
        account = AccountQuota(database, org_id, CRM)
        account.limit([Limit(bucket, 1, timedelta(hours=1))])
        await account.take(bucket)
        await account.take("unlimited")
    async with database.everyone() as connection:
        drawn_on = await connection.execute(sa.text("SELECT org_id, bucket FROM quotas"))
    assert {tuple(row) for row in drawn_on} == set(buckets)
