"""The shared allowance as adapters draw on it, on a real database."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from crmsync_server.crm.adapter import Allowance, Limit, QuotaExhaustedError
from crmsync_server.store.db import Database
from crmsync_server.sync.quota import AccountQuota, urgently
from tests.store.people import CRM, ORG

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def account(database: Database, *limits: Limit, org_id: str = ORG) -> AccountQuota:
    """Return the quota of an account, as one server process has it."""
    quota = AccountQuota(database, org_id, CRM)
    quota.limit(limits)
    return quota


async def take(quota: AccountQuota, times: list[float], count: int) -> None:
    """Take calls one after the other, and note when each may be made."""
    for _ in range(count):
        await quota.take("burst")
        times.append(asyncio.get_running_loop().time())


async def refusal(quota: AccountQuota, bucket: str) -> timedelta:
    """Return how long a bucket is used up."""
    with pytest.raises(QuotaExhaustedError) as exhausted:
        await quota.take(bucket)
    assert exhausted.value.bucket == bucket
    return exhausted.value.until - datetime.now(UTC)


@contextmanager
def transactions(database: Database) -> Iterator[list[object]]:
    """Collect the connections that are taken from the pool, one for each transaction."""
    made: list[object] = []
    engine = database._engine.sync_engine  # noqa: SLF001 - nothing else knows

    def taken(connection: object, *_: object) -> None:
        made.append(connection)

    sa.event.listen(engine, "checkout", taken)
    yield made
    sa.event.remove(engine, "checkout", taken)


def most_within(times: Sequence[float], period: float) -> int:
    """Return how many calls the fullest window of a period has."""
    ordered = sorted(times)
    return max(
        sum(1 for one in ordered[first:] if one < ordered[first] + period)
        for first in range(len(ordered))
    )


async def test_servers_share_a_window(database: Database) -> None:
    """Three processes' calls fit into every second, and none of them stands idle."""
    limit = Limit("burst", 100, timedelta(seconds=1))
    times: list[float] = []
    servers = [account(database, limit) for _ in range(3)]
    await asyncio.gather(*(take(server, times, 90) for server in servers))
    assert most_within(times, 1.0) <= 100
    # How nearly is measured by the clock of a simulation: this machine may be busy.
    assert max(times) - min(times) < 270 / 100 / 0.5


async def test_a_busy_lane_asks_far_less_often_than_it_calls(database: Database) -> None:
    """Calls are granted in lots."""
    burst = Limit("burst", 2000, timedelta(seconds=10))
    quota = account(database, burst, Limit("daily", 10**6, DAY))
    with transactions(database) as made:
        for _ in range(200):
            await quota.take("daily")
            await quota.take("burst")
    assert len(made) < 40


async def test_a_used_up_account_is_not_asked_for_by_everybody(database: Database) -> None:
    """One is told to wait, and tells the others."""
    quota = account(database, Limit("hourly", 1, HOUR))
    await quota.take("hourly")
    with transactions(database) as made:
        refused = await asyncio.gather(*(refusal(quota, "hourly") for _ in range(20)))
    assert min(refused) > timedelta(minutes=59)
    assert len(made) == 1


async def test_what_one_server_has_taken_is_not_there_for_another(database: Database) -> None:
    """And the other is told when it will be."""
    limit = Limit("hourly", 2, HOUR)
    first, second = account(database, limit), account(database, limit)
    await first.take("hourly", calls=2)
    until = await refusal(second, "hourly")
    assert timedelta(minutes=59) < until < timedelta(minutes=61)


async def test_a_refused_call_takes_nothing(database: Database) -> None:
    """Asking again and again does not push the next grant away."""
    limit = Limit("hourly", 1, HOUR)
    await account(database, limit).take("hourly")
    untils = [await refusal(account(database, limit), "hourly") for _ in range(3)]
    assert all(later <= earlier for earlier, later in pairwise(untils))


async def test_accounts_and_buckets_are_apart_and_the_unlimited_is_free(database: Database) -> None:
    """One that is used up says nothing of another."""
    buckets = [(ORG, "hourly"), (ORG, "search"), ("globex", "hourly")]
    for org_id, bucket in buckets:
        quota = account(database, Limit(bucket, 1, HOUR), org_id=org_id)
        await quota.take(bucket)
        await quota.take("unlimited")
    async with database.everyone() as connection:
        drawn_on = await connection.execute(sa.text("SELECT org_id, bucket FROM quotas"))
    assert {tuple(row) for row in drawn_on} == set(buckets)


async def test_what_is_kept_for_urgent_calls_is_left_to_them(database: Database) -> None:
    """Ordinary work finds nine tenths of an hour, urgent work the rest."""
    quota = account(database, Limit("hourly", 20, HOUR))
    await quota.take("hourly", calls=18)
    await refusal(quota, "hourly")
    with urgently():
        await quota.take("hourly", calls=2)
        await refusal(quota, "hourly")


async def test_urgent_calls_do_not_wait_behind_others(database: Database) -> None:
    """However many stand in line, the urgent one is the next that is served."""
    quota = account(database, Limit("burst", 20, timedelta(seconds=2)))
    served: list[str] = []

    async def one(name: str) -> None:
        await quota.take("burst")
        served.append(name)

    await quota.take("burst", calls=2)
    ordinary = [asyncio.create_task(one(f"ordinary {number}")) for number in range(10)]
    await asyncio.sleep(0)
    with urgently():
        urgent = asyncio.create_task(one("urgent"))
    await asyncio.gather(*ordinary, urgent)
    assert served.index("urgent") <= 2
    assert [name for name in served if name != "urgent"] == [f"ordinary {n}" for n in range(10)]


async def test_who_is_cancelled_in_line_has_taken_nothing(database: Database) -> None:
    """The calls are there for those behind."""
    quota = account(database, Limit("hourly", 3, HOUR))
    await quota.take("hourly")
    waiting = asyncio.create_task(quota.take("hourly", calls=2))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await quota.take("hourly", calls=2)


async def test_many_calls_are_had_together_or_not_at_all(database: Database) -> None:
    """What was taken when the next was refused is given back."""
    quota = account(database, Limit("hourly", 3, HOUR))
    with pytest.raises(QuotaExhaustedError):
        await quota.take("hourly", calls=4)
    await quota.take("hourly", calls=3)


async def test_after_a_refusal_by_the_crm_no_server_calls(database: Database) -> None:
    """Until the time that it told, whoever it told it to."""
    limit = Limit("burst", 100, timedelta(seconds=10))
    told, other = account(database, limit), account(database, limit)
    await told.take("burst")
    told.refused("burst", datetime.now(UTC) + timedelta(seconds=30))
    await told.tell()
    for quota in (told, other):
        until = await refusal(quota, "burst")
        assert timedelta(seconds=29) < until < timedelta(seconds=31)


async def test_a_used_up_day_is_over_at_the_reset_that_the_crm_told(database: Database) -> None:
    """Not a day later, and for every server."""
    limit = Limit("daily", 1000, DAY)
    told, other = account(database, limit), account(database, limit)
    await told.take("daily")
    told.refused("daily", datetime.now(UTC) + timedelta(hours=7))
    await told.tell()
    for quota in (told, other):
        until = await refusal(quota, "daily")
        assert timedelta(hours=7) <= until < timedelta(hours=7, minutes=1)


async def test_what_others_have_used_is_known_to_every_server(database: Database) -> None:
    """Somebody else draws on the account: what the CRM says is left counts."""
    limit = Limit("hourly", 100, HOUR)
    told, other = account(database, limit), account(database, limit)
    await told.take("hourly")
    told.learn(Allowance("hourly", 100, 10))
    await told.tell()
    with urgently():
        await other.take("hourly", calls=10)
        await refusal(other, "hourly")


async def test_a_higher_limit_is_taken_over_and_a_ceiling_is_kept(database: Database) -> None:
    """The CRM knows its limit better than the adapter; what a tenant may use it does not know."""
    for ceiling, there in ((None, 20), (15, 15)):
        limit = Limit("hourly", 10, HOUR, ceiling=ceiling)
        quota = account(database, limit, org_id=f"org-{ceiling}")
        await quota.take("hourly")
        quota.learn(Allowance("hourly", 20))
        await quota.tell()
        with urgently():
            await quota.take("hourly", calls=there - 1)
            await refusal(quota, "hourly")


async def test_another_declared_limit_holds_at_once(database: Database) -> None:
    """A tenant that is limited further is limited now; what the CRM told before is forgotten."""
    quota = account(database, Limit("hourly", 100, HOUR))
    await quota.take("hourly", calls=5)
    quota.learn(Allowance("hourly", 200))
    await quota.tell()
    quota.limit([Limit("hourly", 6, HOUR)])
    await quota.take("hourly")
    await refusal(quota, "hourly")


async def test_an_account_that_cannot_be_asked_for_has_nothing_for_a_moment(
    database_url: str,
) -> None:
    """Without the database nothing is sent: the records are postponed, not unknown."""
    database = Database(database_url.rsplit("/", 1)[0] + "/no_such_database")
    until = await refusal(account(database, Limit("burst", 10, timedelta(seconds=1))), "burst")
    assert timedelta(0) < until < timedelta(seconds=10)
    await database.close()
