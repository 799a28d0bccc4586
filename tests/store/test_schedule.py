"""Schedules are kept, taken by one at a time, and run with what they queue."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from crmsync_server.errors import ScheduleNotFoundError, VersionMismatchError
from crmsync_server.store import schedule, session
from crmsync_server.store.db import Database
from crmsync_server.store.schedule import Action, Plan
from tests.store import people
from tests.store.people import CRM, ORG

HOURLY = Plan("Hourly", "0 * * * *", "Europe/Athens", CRM, Action(force=True), enabled=True)


async def create(database: Database, plan: Plan = HOURLY, org_id: str = ORG) -> sa.Row[Any]:
    """Keep a schedule."""
    async with database.org(org_id) as connection:
        return await schedule.create(
            connection, org_id, plan, creator="anna", now=datetime.now(UTC)
        )


async def make_due(database: Database, ago: timedelta = timedelta(seconds=1)) -> None:
    """Let the time pass until everything is due, and longer."""
    async with database.everyone() as connection:
        text = "UPDATE schedules SET next_run_time = now() - CAST(:ago AS interval)"
        await connection.execute(sa.text(text), {"ago": ago})


async def test_a_schedule_is_kept_as_it_was_planned(database: Database) -> None:
    """With when it runs next."""
    action = Action(
        has_email=True,
        not_already_synced=True,
        domain_id=str(uuid4()),
        filter="tags:vip",
        high=True,
        force=True,
    )
    row = await create(database, replace(HOURLY, action=action))
    assert Plan.of(row) == replace(HOURLY, action=action)
    assert (row.version, row.creator, row.last_run_time) == (1, "anna", None)
    assert timedelta(0) < row.next_run_time - datetime.now(UTC) <= timedelta(hours=1)
    async with database.org(ORG) as connection:
        assert await schedule.get(connection, ORG, row.id) == row
        assert await schedule.count(connection, ORG) == 1


async def test_one_that_is_not_enabled_has_no_next_time(database: Database) -> None:
    """And is never due."""
    row = await create(database, replace(HOURLY, enabled=False))
    assert row.next_run_time is None
    async with database.everyone() as connection:
        assert not await schedule.due(connection, size=10)


async def test_schedules_are_listed_newest_first_page_by_page(database: Database) -> None:
    """Of one CRM or all."""
    rows = [await create(database) for _ in range(3)]
    other = await create(database, replace(HOURLY, crm="brevo"))
    async with database.org(ORG) as connection:
        page = await schedule.list(connection, ORG, size=2)
        assert [row.id for row in page] == [other.id, rows[2].id]
        rest = await schedule.list(connection, ORG, size=5, before_id=page[-1].id)
        assert [row.id for row in rest] == [rows[1].id, rows[0].id]
        only = await schedule.list(connection, ORG, size=5, crm="brevo")
        assert [row.id for row in only] == [other.id]


async def test_a_change_finds_the_next_run_anew(database: Database) -> None:
    """And raises the version."""
    row = await create(database)
    daily = replace(HOURLY, cron="0 0 1 1 *", display_name="Yearly")
    async with database.org(ORG) as connection:
        before = await schedule.lock(connection, ORG, row.id)
        after = await schedule.update(connection, ORG, before, daily, version=1)
    assert Plan.of(after) == daily
    assert after.version == 2
    assert (after.next_run_time.month, after.next_run_time.day) == (12, 31)
    async with database.org(ORG) as connection:
        before = await schedule.lock(connection, ORG, row.id)
        with pytest.raises(VersionMismatchError):
            await schedule.update(connection, ORG, before, HOURLY, version=1)


async def test_schedules_of_others_are_not_found(database: Database) -> None:
    """Nor is one that was deleted."""
    row = await create(database)
    for org_id in ("globex", ORG):
        async with database.org(org_id) as connection:
            if org_id == ORG:
                await schedule.delete(connection, ORG, row.id)
            for find in (schedule.get, schedule.lock, schedule.delete):
                with pytest.raises(ScheduleNotFoundError):
                    await find(connection, org_id, row.id)
            assert await schedule.claim(connection, org_id, row.id) is None


async def test_what_is_due_is_told_first(database: Database) -> None:
    """And how long the others wait."""
    first = await create(database)
    await make_due(database)
    later = await create(database, org_id="globex")
    async with database.everyone() as connection:
        due, waiting = await schedule.due(connection, size=10)
    assert (due.id, due.wait_seconds) == (first.id, 0)
    assert (waiting.org_id, waiting.id) == ("globex", later.id)
    assert 0 < waiting.wait_seconds <= 3600


async def test_one_at_a_time_takes_what_is_due(database: Database) -> None:
    """Nobody waits for whoever has it; what is not due is nobody's."""
    row = await create(database)
    async with database.org(ORG) as connection:
        assert await schedule.claim(connection, ORG, row.id) is None
    await make_due(database)
    async with database.org(ORG) as mine, database.org(ORG) as other:
        assert await schedule.claim(mine, ORG, row.id) is not None
        assert await schedule.claim(other, ORG, row.id) is None
    async with database.org(ORG) as connection:
        assert await schedule.claim(connection, ORG, row.id) is not None


async def run(database: Database, schedule_id: UUID, *, requires_email: bool = False) -> UUID:
    """Run a schedule."""
    async with database.org(ORG) as connection:
        row = await schedule.lock(connection, ORG, schedule_id)
        ran = await schedule.run(connection, ORG, row, requires_email=requires_email)
        await schedule.ran(connection, ORG, row, session_id=ran, next_run_time=row.next_run_time)
    return ran


async def test_a_run_queues_what_the_action_says(database: Database) -> None:
    """In a session of the schedule's own, which the schedule remembers."""
    async with database.org(ORG) as connection:
        for name, email in (("a", True), ("b", False)):
            await people.create(connection, ORG, name, email=email)
    row = await create(database, replace(HOURLY, action=Action(high=True)))
    for requires_email, total in ((True, 1), (False, 2)):
        opened = await run(database, row.id, requires_email=requires_email)
        async with database.org(ORG) as connection:
            told = await session.get(connection, ORG, opened)
            after = await schedule.get(connection, ORG, row.id)
        assert (told.kind, told.creator) == ("RUN_SCHEDULE", f"schedule:{row.id}")
        assert (told.crm, told.total) == (CRM, total)
        assert (after.last_session_id, after.last_error) == (opened, None)
        assert after.last_run_time is not None
        assert (after.next_run_time, after.version) == (row.next_run_time, 1)


async def test_a_run_that_queued_nothing_says_why(database: Database) -> None:
    """And has no session."""
    row = await create(database)
    await run(database, row.id)
    async with database.org(ORG) as connection:
        await schedule.ran(connection, ORG, row, error="CRM_DISABLED", next_run_time=None)
        after = await schedule.get(connection, ORG, row.id)
    assert (after.last_session_id, after.last_error) == (None, "CRM_DISABLED")
    assert not after.enabled
