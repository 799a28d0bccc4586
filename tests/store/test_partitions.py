"""The daily partitions of the history."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.db import Database
from crmsync_server.store.partitions import Kept, days, keep

TODAY = date(2030, 2, 28)
WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def attempt(connection: AsyncConnection, day: date) -> str:
    """Write one attempt that ended at noon of a day; returns the table that took it."""
    insert = sa.text(
        "INSERT INTO sync_attempts"
        " (org_id, contact_id, crm, attempt, start_time, end_time, outcome, contact_version)"
        " VALUES ('acme', :contact_id, 'hubspot', 1, :noon, :noon, 'SYNCED', 1)"
        " RETURNING CAST(CAST(tableoid AS regclass) AS text)"
    )
    noon = datetime.combine(day, time(12), UTC)
    taken = await connection.scalar(insert, {"contact_id": UUID(int=day.toordinal()), "noon": noon})
    return str(taken)


async def test_today_and_two_days_more_have_a_partition(database: Database) -> None:
    """An attempt of any of them goes to its own day, not to the default partition."""
    async with database.everyone() as connection:
        kept = await keep(connection, TODAY, WEEK)
        assert kept.made == [TODAY, date(2030, 3, 1), date(2030, 3, 2)]
        assert await attempt(connection, TODAY) == "sync_attempts_20300228"
        assert await attempt(connection, TODAY + 2 * DAY) == "sync_attempts_20300302"
        assert await attempt(connection, TODAY + 3 * DAY) == "sync_attempts_default"


async def test_keeping_twice_changes_nothing(database: Database) -> None:
    """The second server of the day finds nothing to do."""
    async with database.everyone() as connection:
        await keep(connection, TODAY, WEEK)
    async with database.everyone() as connection:
        assert await keep(connection, TODAY, WEEK) == Kept([], [])


async def test_one_server_at_a_time_keeps_partitions(database: Database) -> None:
    """While one works, another passes by instead of waiting or failing."""
    async with database.everyone() as one, database.everyone() as other:
        await keep(one, TODAY, WEEK)
        assert await keep(other, TODAY, WEEK) == Kept()


async def test_days_past_the_retention_are_dropped(database: Database) -> None:
    """The retention counts whole days: its last day stays."""
    async with database.everyone() as connection:
        for day in (TODAY - 8 * DAY, TODAY - 7 * DAY):
            await keep(connection, day, WEEK)
        before = await days(connection)
        assert before[0] == TODAY - 8 * DAY
        kept = await keep(connection, TODAY, WEEK)
        assert kept.dropped == [TODAY - 8 * DAY]
        assert (await days(connection))[0] == TODAY - 7 * DAY


async def test_strays_move_to_their_day(database: Database) -> None:
    """What came before its partition is found in it afterwards."""
    async with database.everyone() as connection:
        assert await attempt(connection, TODAY) == "sync_attempts_default"
        await keep(connection, TODAY, WEEK)
        moved = await connection.scalar(sa.text("SELECT count(*) FROM sync_attempts_20300228"))
        assert moved == 1


async def test_old_strays_are_deleted(database: Database) -> None:
    """The default partition keeps nothing longer than the others do."""
    async with database.everyone() as connection:
        await attempt(connection, TODAY - 8 * DAY)
        await attempt(connection, TODAY - 7 * DAY)
        await keep(connection, TODAY, WEEK)
        left = await connection.scalar(sa.text("SELECT count(*) FROM sync_attempts_default"))
        assert left == 1


async def test_a_partition_has_the_policy_of_its_table(database: Database) -> None:
    """Reading it by its own name shows one organization's rows, too."""
    async with database.everyone() as connection:
        await keep(connection, TODAY, WEEK)
        await attempt(connection, TODAY)
    async with database.org("globex") as connection:
        seen = await connection.scalar(sa.text("SELECT count(*) FROM sync_attempts_20300228"))
        assert seen == 0
