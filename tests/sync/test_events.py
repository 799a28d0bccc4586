"""The hub of events: nothing is stepped over, nothing told twice, and watching costs little."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.errors import DrainingError, ResumeTokenExpiredError
from crmsync_server.store import event, partitions, queue
from crmsync_server.store.db import Database
from crmsync_server.store.place import Key, Place, Start, named, token
from crmsync_server.sync import feed
from crmsync_server.sync.events import EventHub, Told
from tests.store.deliveries import claimed, deliver, finish, take_id
from tests.store.people import CRM, ORG

PATIENCE = 60.0
BEGINNING = Start(from_beginning=True)
NOW = Start()

Watch = AsyncGenerator[Told[UUID]]


def render(row: sa.Row[Any]) -> UUID:
    """Show what the tests look at."""
    contact_id: UUID = row.contact_id
    return contact_id


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[EventHub[UUID]]:
    """Run a hub."""
    hub = EventHub(database, render)
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@asynccontextmanager
async def watching(
    hub: EventHub[UUID], start: Start = NOW, crm: str | None = None, patience: float = PATIENCE
) -> AsyncIterator[Watch]:
    """Watch from a place, and take the first message, which is a sign of life."""
    async with aclosing(hub.watch(ORG, start, crm, patience)) as watch:
        assert (await anext(watch)).view is None
        yield watch


async def some(watch: Watch, count: int) -> list[Told[UUID]]:
    """Take the next events."""
    return [await anext(watch) for _ in range(count)]


def views(told: Sequence[Told[UUID]]) -> list[UUID | None]:
    """Return whose events they are."""
    return [one.view for one in told]


async def place_of(hub: EventHub[UUID]) -> str:
    """Return a token of now."""
    async with aclosing(hub.watch(ORG, NOW, None, PATIENCE)) as watch:
        return (await anext(watch)).token


def after(told: str) -> Start:
    """Begin after the place of a token."""
    found = named(ORG, told)
    assert found is not None
    return Start(found)


@contextmanager
def counted_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the events of each page that is read; the statement itself is run."""
    reads: list[int] = []
    page = event.page

    async def counting(*args: Any, **named_args: Any) -> Any:  # noqa: ANN401 - passed on as it is
        rows = await page(*args, **named_args)
        reads.append(len(rows))
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(event, "page", counting)
        yield reads


async def test_a_watch_begins_now_or_with_the_oldest_event(database: Database) -> None:
    """As it is asked to."""
    before = await deliver(database, 3)
    async with running(database) as hub, watching(hub) as new, watching(hub, BEGINNING) as whole:
        later = await deliver(database, 2)
        assert views(await some(new, 2)) == later
        assert views(await some(whole, 5)) == [*before, *later]


async def test_a_watch_goes_on_right_after_any_token(database: Database) -> None:
    """At any server."""
    await deliver(database, 3)
    await deliver(database, 2)
    async with running(database) as hub, watching(hub, BEGINNING) as watch:
        told = await some(watch, 5)
    async with running(database) as other:
        for at, one in enumerate(told[:-1]):
            async with watching(other, after(one.token)) as resumed:
                assert views(await some(resumed, 4 - at)) == views(told[at + 1 :])


async def test_a_commit_that_comes_late_is_told_once_and_before_what_overtook_it(
    database: Database,
) -> None:
    """Also to those who were told everything that there was before."""
    first, second = await claimed(database), await claimed(database)
    async with running(database) as hub, watching(hub) as watch:
        async with database.org(ORG) as slow:
            await take_id(slow)
            async with database.org(ORG) as quick:
                await finish(quick, second)
            hub.on_hint(f"{ORG}/{CRM}")
            async with watching(hub, patience=0.05) as impatient:
                assert (await anext(impatient)).view is None
            await finish(slow, first)
        expected = [first[0].contact_id, second[0].contact_id]
        assert views(await some(watch, 2)) == expected


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_in_whatever_order_transactions_commit_each_event_is_told_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, order: Sequence[int]
) -> None:
    """By their beginnings; to those who watch all the time, and to those who go on later."""
    slots = iter(range(3))  # what is counted in the same slot commits one after the other anyway
    monkeypatch.setattr(queue, "slot", lambda: next(slots, 0))
    rows = [row for _ in range(3) for row in await claimed(database)]
    slots = iter(range(3))
    async with running(database) as hub, watching(hub) as watch, AsyncExitStack() as whole:
        place = await place_of(hub)
        opened = [await whole.enter_async_context(AsyncExitStack()) for _ in rows]
        for transaction, row in zip(opened, rows, strict=True):
            connection = await transaction.enter_async_context(database.org(ORG))
            await finish(connection, [row])
        for at in order:
            await opened[at].aclose()
            hub.on_hint(f"{ORG}/{CRM}")
            async with watching(hub, after(place), patience=0.05) as impatient:
                first = await anext(impatient)
                assert first.view in {None, rows[0].contact_id}
        expected = [row.contact_id for row in rows]
        assert views(await some(watch, 3)) == expected
        async with watching(hub, after(place)) as resumed:
            assert views(await some(resumed, 3)) == expected


async def test_a_watcher_of_one_crm_is_told_of_that_alone(database: Database) -> None:
    """And its token serves a watcher of all."""
    async with running(database) as hub:
        async with watching(hub, crm="brevo") as watch:
            await deliver(database, 2)
            brevo = await deliver(database, 2, crm="brevo")
            told = await some(watch, 2)
            assert views(told) == brevo
        rest = await deliver(database)
        async with watching(hub, after(told[0].token)) as whole:
            assert views(await some(whole, 2)) == [brevo[1], *rest]


async def test_a_reader_that_fell_behind_the_feed_misses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads by itself until it has caught up, and nothing is kept for it."""
    monkeypatch.setattr(feed, "_KEPT", 5)
    expected: list[UUID] = []
    async with running(database) as hub, watching(hub) as slow, watching(hub) as quick:
        expected += await deliver(database, 3)
        seen = views(await some(slow, 1))
        for _ in range(12):
            expected += await deliver(database, 3)
            hub.on_hint(None)
            await some(quick, 3)
        assert seen + views(await some(slow, 38)) == expected


async def test_stopping_ends_every_watch_with_where_it_was(database: Database) -> None:
    """So that it goes on elsewhere without a gap."""
    async with running(database) as hub, watching(hub) as watch:
        await deliver(database)
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch))
        await hub.stop()
        with pytest.raises(DrainingError) as draining:
            await waiting
    expected = await deliver(database)
    left = draining.value.metadata["resume_token"]
    async with running(database) as other, watching(other, after(left)) as resumed:
        assert views(await some(resumed, 1)) == expected


async def test_silence_is_told_with_a_token_that_moves_on(database: Database) -> None:
    """Over events of other CRMs too."""
    async with running(database) as hub, watching(hub, crm="brevo", patience=0.3) as watch:
        await deliver(database)
        await asyncio.wait_for(_told_of_hubspot(hub), 5)
        sign = await anext(watch)
        assert sign.view is None
        async with watching(hub, after(sign.token)) as whole:
            later = await deliver(database)
            assert views(await some(whole, 1)) == later


async def _told_of_hubspot(hub: EventHub[UUID]) -> None:
    async with watching(hub, BEGINNING) as whole:
        await anext(whole)


async def test_a_hundred_watchers_cost_what_one_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page for all, once they have caught up."""
    async with running(database) as hub, AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(watching(hub)) for _ in range(100)]
        await deliver(database)
        await asyncio.gather(*(anext(watch) for watch in watches))
        with counted_reads(monkeypatch) as reads:
            expected = await deliver(database, 5)
            told = await asyncio.gather(*(some(watch, 5) for watch in watches))
    assert all(views(one) == expected for one in told)
    assert sum(reads) == 5


async def test_a_token_that_is_older_than_the_history_names_the_oldest_valid_one(
    database: Database,
) -> None:
    """And that one is valid."""
    async with running(database) as hub:
        bounds = await _keep_from_yesterday(database)
        past = Place(Key(1), bounds.kept_from - timedelta(seconds=1))
        old = token(ORG, bounds.system, past)
        with pytest.raises(ResumeTokenExpiredError) as expired:
            await anext(hub.watch(ORG, after(old), None, PATIENCE))
        oldest = expired.value.metadata["oldest_token"]
        expected = await deliver(database)
        async with watching(hub, after(oldest)) as watch:
            assert views(await some(watch, 1)) == expected


async def _keep_from_yesterday(database: Database) -> event.Bounds:
    async with database.everyone() as connection:
        bounds = await event.bounds(connection)
        yesterday = bounds.time.date() - timedelta(days=1)
        await partitions.keep(connection, yesterday, timedelta(days=9))
        return await event.bounds(connection)


async def test_a_token_of_another_database_is_no_place_in_this_one(database: Database) -> None:
    """Its transactions have other numbers."""
    async with database.everyone() as connection:
        bounds = await event.bounds(connection)
    foreign = token(ORG, bounds.system + 1, bounds.border)
    async with running(database) as hub:
        with pytest.raises(ResumeTokenExpiredError):
            await anext(hub.watch(ORG, after(foreign), None, PATIENCE))


async def test_a_token_of_a_future_that_was_lost_is_no_place_in_the_past(
    database: Database,
) -> None:
    """A database that was set back does not have what was told, or has not come so far."""
    await deliver(database)
    async with running(database) as hub, watching(hub, BEGINNING) as watch:
        told = await anext(watch)
        async with database.everyone() as connection:
            await connection.execute(sa.text("DELETE FROM sync_attempts"))
            bounds = await event.bounds(connection)
        ahead = Place(Key(bounds.settled + 1000), bounds.time)
        for lost in (told.token, token(ORG, bounds.system, ahead)):
            with pytest.raises(ResumeTokenExpiredError):
                await anext(hub.watch(ORG, after(lost), None, PATIENCE))


async def test_a_database_that_was_away_is_read_on_from_where_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event is told once, whatever the hub had read."""
    async with running(database) as hub, watching(hub) as watch:
        expected = await deliver(database, 2)
        assert views(await some(watch, 2)) == expected
        waiting = asyncio.ensure_future(some(watch, 5))
        with away(monkeypatch) as refused:
            hub.on_hint(None)
            await asyncio.wait_for(refused.wait(), 5)
            expected = await deliver(database, 2)
        expected += await deliver(database, 3)
        assert views(await waiting) == expected


async def test_a_database_that_comes_back_with_another_past_ends_the_watch(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was set back to before what was told: going on would step over what comes now."""
    async with running(database) as hub, watching(hub) as watch:
        await deliver(database)
        await some(watch, 1)
        waiting = asyncio.ensure_future(anext(watch))
        with away(monkeypatch) as refused:
            hub.on_hint(None)
            await asyncio.wait_for(refused.wait(), 5)
            async with database.everyone() as connection:
                await connection.execute(sa.text("DELETE FROM sync_attempts"))
        with pytest.raises(ResumeTokenExpiredError):
            await asyncio.wait_for(waiting, 10)


async def test_a_database_whose_transactions_begin_anew_is_no_continuation(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when no reading failed in between."""
    bounds = event.bounds

    async def of_another_system(connection: Any) -> event.Bounds:  # noqa: ANN401 - passed on as it is
        found = await bounds(connection)
        return replace(found, system=found.system + 1)

    async with running(database) as hub, watching(hub) as watch:
        await deliver(database)
        await some(watch, 1)
        waiting = asyncio.ensure_future(anext(watch))
        with monkeypatch.context() as patched:
            patched.setattr(event, "bounds", of_another_system)
            hub.on_hint(None)
            with pytest.raises(ResumeTokenExpiredError):
                await asyncio.wait_for(waiting, 10)


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Have every reading of the bounds fail, as it does without a database; tells of the first."""
    refused = asyncio.Event()

    async def refuse(_: object) -> None:
        refused.set()
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(event, "bounds", refuse)
        yield refused


async def test_events_are_found_without_hints(database: Database) -> None:
    """The table is the truth."""
    async with running(database) as hub, watching(hub) as watch:
        for _ in range(2):
            expected = await deliver(database)
            assert views(await some(watch, 1)) == expected


async def test_nothing_is_read_once_nobody_watches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed goes with its last watcher."""
    async with running(database) as hub:
        async with watching(hub) as watch:
            await deliver(database)
            await anext(watch)
        with counted_reads(monkeypatch) as reads:
            await deliver(database)
            hub.on_hint(f"{ORG}/{CRM}")
            hub.on_hint(None)
            async with watching(hub):
                pass
    assert reads == []
