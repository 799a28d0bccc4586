"""Schedules run when they are due: once, whoever looks and whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.errors import CrmDisabledError
from crmsync_server.store import schedule
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.schedule import Action, Plan
from crmsync_server.sync.schedules import Schedules
from tests.eventually import eventually
from tests.store import people
from tests.store.people import CRM, ORG

FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'the power is gone'; END $$
"""
HOURLY = Plan("", "0 * * * *", "UTC", CRM, Action(), enabled=True)


@dataclass
class Clockwork:
    """The duty on one pool of connections, and what it told.

    off: CRMs that take no work.
    begun: a run is under way; lets_go: runs go on.
    """

    database: Database
    off: set[str] = field(default_factory=set)
    queued: list[tuple[str, str]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    lets_go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Let runs go on."""
        self.lets_go.set()

    @property
    def duty(self) -> Schedules:
        """Return a duty that looks often."""
        return Schedules(
            self.database,
            self._requires_email,
            lambda *lane: self.queued.append(lane),
            poll_interval=0.05,
        )

    async def _requires_email(self, org_id: str, crm: str) -> bool:
        self.begun.set()
        await self.lets_go.wait()
        if crm == "broken":
            raise LookupError(org_id)
        if crm in self.off:
            raise CrmDisabledError(crm)
        return True


async def create(database: Database, plan: Plan = HOURLY, org_id: str = ORG) -> UUID:
    """Keep a schedule."""
    async with database.org(org_id) as connection:
        row = await schedule.create(connection, org_id, plan, creator="", now=datetime.now(UTC))
    created: UUID = row.id
    return created


async def make_due(database: Database, ago: timedelta = timedelta(seconds=1)) -> None:
    """Let the time pass until everything is due, and longer."""
    async with database.everyone() as connection:
        text = "UPDATE schedules SET next_run_time = now() - CAST(:ago AS interval) WHERE enabled"
        await connection.execute(sa.text(text), {"ago": ago})


async def row_of(database: Database, schedule_id: UUID, org_id: str = ORG) -> sa.Row[Any]:
    """Return a schedule as it is."""
    async with database.org(org_id) as connection:
        return await schedule.get(connection, org_id, schedule_id)


async def sessions(database: Database) -> list[Any]:
    """Return every session that a schedule opened, in order."""
    async with database.everyone() as connection:
        rows = await connection.execute(sa.text("SELECT * FROM sessions ORDER BY id"))
        return [*rows]


@asynccontextmanager
async def replica(database_url: str) -> AsyncIterator[Clockwork]:
    """Open a pool of its own, as another process has one."""
    database = Database(database_url, Pool(size=2))
    yield Clockwork(database)
    await database.close()


async def test_what_is_due_runs_and_moves_on(database: Database) -> None:
    """Its session is opened, and the engine told."""
    await people.populate(database, 3)
    created = await create(database)
    clockwork = Clockwork(database)
    assert await clockwork.duty.turn() <= 0.05
    assert await sessions(database) == []
    await make_due(database)
    await clockwork.duty.turn()
    [opened] = await sessions(database)
    assert (opened.kind, opened.creator) == ("RUN_SCHEDULE", f"schedule:{created}")
    assert (opened.total, opened.crm) == (3, CRM)
    after = await row_of(database, created)
    assert after.last_session_id == opened.id
    assert after.next_run_time > datetime.now(UTC)
    assert clockwork.queued == [(ORG, CRM)]


async def test_missed_runs_are_caught_up_once(database: Database) -> None:
    """However many they were."""
    created = await create(database)
    await make_due(database, timedelta(days=3))
    for _ in range(3):
        await Clockwork(database).duty.turn()
    assert len(await sessions(database)) == 1
    ahead = (await row_of(database, created)).next_run_time - datetime.now(UTC)
    assert timedelta(0) < ahead <= timedelta(hours=1)


async def test_of_many_replicas_one_runs_it(database: Database, database_url: str) -> None:
    """They all look at the same time, again and again."""
    await people.populate(database, 20)
    ids = [await create(database) for _ in range(5)]
    async with replica(database_url) as one, replica(database_url) as other:
        for runs in range(1, 6):
            await make_due(database)
            duties = [one.duty, other.duty, one.duty, other.duty]
            await asyncio.gather(*(duty.turn() for duty in duties))
            assert len(await sessions(database)) == runs * len(ids)
        assert len(one.queued) + len(other.queued) == 5 * len(ids)


async def test_a_crash_neither_loses_a_run_nor_doubles_it(database: Database) -> None:
    """What was queued before the run could be written down is undone, and done by the next one."""
    await people.populate(database, 1)
    created = await create(database)
    await make_due(database)
    before = await row_of(database, created)
    async with database.everyone() as connection:
        for text in (
            FAIL,
            "CREATE TRIGGER fail BEFORE UPDATE ON schedules EXECUTE FUNCTION fail()",
        ):
            await connection.execute(sa.text(text))
    await Clockwork(database).duty.turn()
    assert await sessions(database) == []
    assert await row_of(database, created) == before
    async with database.everyone() as connection:
        await connection.execute(sa.text("DROP TRIGGER fail ON schedules"))
    await Clockwork(database).duty.turn()
    assert len(await sessions(database)) == 1


async def test_a_replica_that_stops_gives_its_run_back(
    database: Database, database_url: str
) -> None:
    """In the middle of it; nobody else runs it before."""
    await create(database)
    await make_due(database)
    async with replica(database_url) as other:
        other.lets_go.clear()
        duty = other.duty
        duty.start()
        await other.begun.wait()
        await Clockwork(database).duty.turn()
        assert await sessions(database) == []
        await duty.stop()
        assert await sessions(database) == []
    await Clockwork(database).duty.turn()
    assert len(await sessions(database)) == 1


async def test_a_crm_that_is_off_is_why_nothing_was_queued(database: Database) -> None:
    """The schedule says so and moves on; it runs again when the CRM is on."""
    created = await create(database)
    await make_due(database)
    clockwork = Clockwork(database, off={CRM})
    await clockwork.duty.turn()
    after = await row_of(database, created)
    assert (after.last_error, after.last_session_id) == ("CRM_DISABLED", None)
    assert after.last_run_time is not None
    assert after.next_run_time > datetime.now(UTC)
    assert (await sessions(database), clockwork.queued) == ([], [])
    clockwork.off.clear()
    await make_due(database)
    await clockwork.duty.turn()
    assert (await row_of(database, created)).last_error is None


async def test_a_schedule_that_fails_stops_no_other(database: Database) -> None:
    """Of this organization or another; it is tried again."""
    broken = await create(database, replace(HOURLY, crm="broken"))
    await make_due(database, timedelta(minutes=1))
    good = await create(database, org_id="globex")
    await make_due(database)
    clockwork = Clockwork(database)
    await clockwork.duty.turn()
    assert (await row_of(database, good, "globex")).last_session_id is not None
    assert (await row_of(database, broken)).last_run_time is None


async def test_one_that_is_not_enabled_does_not_run(database: Database) -> None:
    """Until it is."""
    created = await create(database, replace(HOURLY, enabled=False))
    await make_due(database)
    await Clockwork(database).duty.turn()
    assert (await row_of(database, created)).last_run_time is None


async def test_a_duty_runs_what_becomes_due_and_sees_what_others_change(
    database: Database,
) -> None:
    """Without anybody telling it."""
    clockwork = Clockwork(database)
    duty = clockwork.duty
    duty.start()
    try:
        await create(database)
        await make_due(database)

        async def ran() -> None:
            assert clockwork.queued == [(ORG, CRM)]

        await eventually(ran)
    finally:
        await duty.stop()
