"""The runs of sessions: whoever lost one writes nothing more, and each page is stored once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits
from crmsync_server.store import run as runs
from crmsync_server.store import session
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.invariants import violations
from crmsync_server.store.notify import Notifier
from crmsync_server.store.run import Step
from crmsync_server.store.session import Opening
from crmsync_server.store.states import Direction, Phase, SessionKind
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.run import Desk, OverError, Reader, Run
from crmsync_server.sync.runs import Runs
from crmsync_server.sync.verdict import RetryPolicy
from tests.eventually import eventually
from tests.store.people import CRM, ORG
from tests.store.records import later
from tests.sync.bench import now

_PAGES = 12
_ON_A_PAGE = 5
_MINUTE = timedelta(minutes=1)
_NONE = timedelta(0)
_TRAITS = SourceTraits(tells_deletions=True, tells_times=True, overlap=_NONE)
_THEFTS = 40

Ending = Callable[[AsyncConnection, str, UUID], Awaitable[Any]]


@dataclass
class Book:
    """A CRM of a few pages.

    begun: a page is being read. lets_go: pages are handed out.
    """

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    lets_go: asyncio.Event = field(default_factory=asyncio.Event)
    traits: SourceTraits = _TRAITS

    async def page(self, scope: Scope, cursor: Cursor) -> Page:
        """Return the page at a cursor."""
        del scope
        self.begun.set()
        await self.lets_go.wait()
        at = int(str(cursor.get("at", 0)))
        following = {"at": at + 1} if at + 1 < _PAGES else None
        return Page(page_at(at), following, _PAGES * _ON_A_PAGE)

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None]:
        """Not for whole readings."""
        raise NotImplementedError

    find = fetch


def page_at(at: int) -> list[Record]:
    """Return the records of a page."""
    numbers = range(at * _ON_A_PAGE, (at + 1) * _ON_A_PAGE)
    return [
        Record(str(one), email=f"p{one}@example.com", modified_time=later(1)) for one in numbers
    ]


@dataclass
class Office:
    """The test's database with one session that reads, and servers that carry it."""

    database: Database
    book: Book = field(default_factory=Book)
    session_id: UUID = field(default_factory=new_id)

    async def open(self) -> None:
        """Open the session."""
        opening = Opening(self.session_id, SessionKind.FULL_SYNC, CRM, "tests", Direction.PULL)
        async with self.database.org(ORG) as connection:
            await session.open(connection, ORG, opening)
            await runs.insert(connection, ORG, self.session_id, CRM, {})

    def desk(self, owner: str, lease: timedelta = _MINUTE) -> Desk:
        """Return what a server works with."""
        return Desk(
            database=self.database,
            hints=Hints(Notifier(self.database), lambda _: None, lambda _: None),
            policy=RetryPolicy(jitter=lambda: 0.0),
            clock=now,
            owner=owner,
            lease=lease,
            readers=self._reader,
            on_refused=self._on_refused,
        )

    async def claim(self, owner: str, lease: timedelta = _MINUTE) -> Run | None:
        """Claim the run, as a server does."""
        desk = self.desk(owner, lease)
        async with self.database.everyone() as connection:
            claimed = await runs.claim(connection, owner=owner, lease=lease, size=1)
        return await Run.of(claimed[0], desk) if claimed else None

    async def held(self, owner: str) -> Run:
        """Claim the run, which nobody else has."""
        run = await self.claim(owner)
        assert run is not None
        return run

    async def expire(self) -> None:
        """Let whoever has the run give no sign of life for too long."""
        await self.rows(
            "UPDATE session_runs SET lease_until = now() - interval '1 second'"
            " WHERE lease_until IS NOT NULL"
        )

    async def session(self) -> sa.Row[Any]:
        """Return the session."""
        async with self.database.org(ORG) as connection:
            return await session.get(connection, ORG, self.session_id)

    async def ended(self) -> sa.Row[Any]:
        """Return the session; AssertionError unless it has ended."""
        row = await self.session()
        assert row.end_time is not None
        return row

    async def stored(self) -> int:
        """Return how many contacts there are."""
        [row] = await self.rows("SELECT count(*) AS people FROM contacts")
        return int(row.people)

    async def rows(self, text: str) -> Sequence[sa.Row[Any]]:
        """Run a statement of the test's own."""
        async with self.database.everyone() as connection:
            result = await connection.execute(sa.text(text))
            return result.all() if result.returns_rows else ()

    async def _reader(self, _org_id: str, _crm: str) -> Reader:
        return Reader(self.book, LaneConfig(), requires_email=False, batch_size=1)

    async def _on_refused(self, _org_id: str, _crm: str, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture
async def office(database: Database) -> Office:
    """Open a session on the test's database."""
    office = Office(database)
    await office.open()
    return office


async def store_page(run: Run, at: int = 0) -> None:
    """Store a page of a held run; raises OverError when it is not held any more."""
    step = Step(Phase.READ, {"at": at + 1})
    await run.step(step, partial(run.take_in, records=page_at(at)))


async def pause(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Pause a session."""
    await session.pause(connection, org_id, session_id)


async def cancel(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Cancel a session."""
    await session.cancel(connection, org_id, session_id)


async def pause_and_resume(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Pause a session and let it go on at once."""
    await session.pause(connection, org_id, session_id)
    await session.resume(connection, org_id, session_id)


async def test_a_server_whose_run_another_one_has_claimed_writes_nothing(office: Office) -> None:
    """Neither a page, nor where it stands, nor that it waits or has ended."""
    first = await office.held("first")
    await store_page(first)
    await office.expire()
    second = await office.held("second")
    before = await office.session()
    with pytest.raises(OverError):
        await store_page(first, 1)
    async with office.database.org(ORG) as connection:
        assert not await runs.renew(connection, first.hold, lease=_MINUTE)
        assert not await runs.wait(connection, first.hold, rest=_NONE)
        assert not await runs.end(connection, first.hold)
    assert (await office.session(), await office.stored()) == (before, _ON_A_PAGE)
    await store_page(second, 1)
    assert await office.stored() == 2 * _ON_A_PAGE


@pytest.mark.parametrize("ending", [pause, cancel, pause_and_resume])
async def test_a_page_that_comes_after_its_session_was_stopped_is_not_stored(
    office: Office, ending: Ending
) -> None:
    """It was being read meanwhile; one that goes on is read again by whoever claims it."""
    run = await office.held("server")
    async with office.database.org(ORG) as connection:
        await ending(connection, ORG, office.session_id)
    before = await office.session()
    with pytest.raises(OverError):
        await store_page(run)
    assert (await office.session(), await office.stored()) == (before, 0)


async def test_a_claim_that_was_overtaken_by_a_pause_stores_nothing(office: Office) -> None:
    """It saw the session run, and got hold of the run when the pause had let go of that."""
    run = await office.held("late")
    await office.rows("UPDATE sessions SET state = 'PAUSED'")
    with pytest.raises(OverError):
        await store_page(run)
    async with office.database.org(ORG) as connection:
        assert not await runs.end(connection, run.hold)
        await session.resume(connection, ORG, office.session_id)
    assert await office.stored() == 0
    await store_page(await office.held("next"))


@pytest.mark.parametrize("ending", [pause, cancel])
async def test_whoever_stops_a_session_waits_for_the_page_that_is_being_stored(
    office: Office, ending: Ending
) -> None:
    """What they are told counts it; the next one finds that it is over."""
    run = await office.held("server")
    writing, written = asyncio.Event(), asyncio.Event()

    async def slowly(connection: AsyncConnection) -> None:
        await run.take_in(connection, page_at(0))
        writing.set()
        await written.wait()

    async def stop() -> int:
        async with office.database.org(ORG) as connection:
            await ending(connection, ORG, office.session_id)
            return int((await session.get(connection, ORG, office.session_id)).pulled_created)

    async def waits() -> None:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert await office.rows(f"{waiting} AND datname = current_database()")

    storing = asyncio.create_task(run.step(Step(Phase.READ, {"at": 1}), slowly))
    await writing.wait()
    stopping = asyncio.create_task(stop())
    await eventually(waits)
    written.set()
    await storing
    assert await stopping == _ON_A_PAGE
    with pytest.raises(OverError):
        await store_page(run, 1)
    assert await office.stored() == _ON_A_PAGE


async def test_a_run_is_claimed_again_only_when_its_lease_is_over(office: Office) -> None:
    """And it goes on where the last page left it."""
    first = await office.held("first")
    await store_page(first)
    assert await office.claim("second") is None
    await office.expire()
    second = await office.held("second")
    assert (second.phase, second.cursor) == (Phase.READ, {"at": 1})
    assert second.hold.fence == first.hold.fence + 1


async def test_a_lease_that_is_over_is_taken_up_and_the_session_ends(office: Office) -> None:
    """By a server that was there all the time; the one that hung finds out and stores nothing."""
    hung, quick = Book(), Book()
    quick.lets_go.set()
    office.book = hung
    first = Runs(office.desk("hung"), 0.05)
    first.start()
    await hung.begun.wait()
    office.book = quick
    second = Runs(office.desk("quick"), 0.05)
    second.start()
    try:
        await office.expire()
        row = await eventually(office.ended)
        hung.lets_go.set()
    finally:
        await first.stop()
        await second.stop()
    assert (row.state, row.pulled_created) == ("SUCCEEDED", _PAGES * _ON_A_PAGE)
    assert row == await office.session()
    await _whole(office)


async def test_servers_that_take_a_run_from_each_other_store_each_page_once(
    office: Office,
) -> None:
    """Each is given up for dead again and again, and goes on all the same."""
    servers = [Runs(office.desk(f"server {one}"), 0.01) for one in range(2)]
    for one in servers:
        one.start()
    await office.book.begun.wait()
    stolen = asyncio.Event()
    thief = asyncio.create_task(_steal(office, stolen))
    try:
        await asyncio.wait_for(stolen.wait(), 20)
        office.book.lets_go.set()
        await eventually(office.ended, within=20)
    finally:
        thief.cancel()
        for one in servers:
            await one.stop()
        with suppress(asyncio.CancelledError):
            await thief
    await _whole(office)


async def _steal(office: Office, stolen: asyncio.Event) -> None:
    thefts = 0
    while thefts < _THEFTS:
        await office.expire()
        if await office.claim("thief", _NONE) is not None:
            thefts += 1
            stolen.set()


async def _whole(office: Office) -> None:
    """Insist that every record came once, and that no page was counted twice."""
    row = await office.session()
    assert (row.pulled_created, row.pages) == (_PAGES * _ON_A_PAGE, _PAGES)
    assert (row.pulled_updated, row.pulled_unchanged) == (0, 0)
    assert await office.stored() == _PAGES * _ON_A_PAGE
    async with office.database.everyone() as connection:
        assert not await violations(connection)
