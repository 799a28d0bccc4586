"""The hub: what watchers see of a session, and what watching costs the database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.errors import DrainingError, SessionNotFoundError
from crmsync_server.store import session
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.session import revision_of
from crmsync_server.sync import progress
from crmsync_server.sync.progress import ProgressHub
from tests.eventually import eventually
from tests.store import people
from tests.store.people import ORG

PATIENCE = 60.0
Hub = ProgressHub[tuple[int, str]]


def render(row: sa.Row[Any]) -> tuple[int, str]:
    """Show what the tests look at."""
    return (row.revision, row.state)


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[Hub]:
    """Run a hub."""
    hub = Hub(database, render)
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@contextmanager
def counted_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count how many sessions each statement of the hub reads; the statement itself is run."""
    reads: list[int] = []
    newest = session.newest

    async def counting(connection: Any, watched: Any) -> Any:  # noqa: ANN401 - passed on as it is
        reads.append(len(watched))
        return await newest(connection, watched)

    with monkeypatch.context() as patched:
        patched.setattr(session, "newest", counting)
        yield reads


async def opened(database: Database, count: int = 1) -> UUID:
    """Open a session over some contacts."""
    ids = await people.populate(database, count)
    async with database.org(ORG) as connection:
        return await people.enqueue(connection, ids, people.order())


async def end(database: Database, session_id: UUID) -> None:
    """End a session by cancelling it."""
    async with database.org(ORG) as connection:
        await session.cancel(connection, ORG, session_id)


async def move(database: Database, session_id: UUID) -> None:
    """Raise a session's revision."""
    async with database.org(ORG) as connection:
        await connection.execute(
            sa.text("UPDATE sessions SET revision = revision + 1 WHERE id = :id"),
            {"id": session_id},
        )


async def test_the_end_of_a_session_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the hub would rest between two readings otherwise."""
    monkeypatch.setattr(progress, "_BETWEEN_READS", PATIENCE)
    session_id = await opened(database)
    async with running(database) as hub:
        seen = []
        async with asyncio.timeout(PATIENCE / 2):
            async for view in hub.watch(ORG, session_id, 0, PATIENCE):
                seen.append(view)
                if len(seen) == 1:
                    await end(database, session_id)
                    hub.on_ended(f"{ORG}/{session_id}")
    assert seen == [(1, "RUNNING"), (2, "CANCELLED")]


async def test_a_watcher_sees_the_state_first_and_then_changes(database: Database) -> None:
    """And the watch ends after the final state."""
    session_id = await opened(database)
    async with running(database) as hub:
        seen = []
        async for view in hub.watch(ORG, session_id, 0, PATIENCE):
            seen.append(view)
            if len(seen) == 1:
                await end(database, session_id)
                hub.on_session(f"{ORG}/{session_id}")
    assert seen == [(1, "RUNNING"), (2, "CANCELLED")]


async def test_a_slow_reader_finds_the_newest_state_and_the_final_one(database: Database) -> None:
    """Never a backlog of what was meanwhile."""
    session_id = await opened(database)
    async with running(database) as hub:
        slow = hub.watch(ORG, session_id, 0, PATIENCE)
        assert await anext(slow) == (1, "RUNNING")
        for _ in range(3):
            await move(database, session_id)
        await end(database, session_id)
        async for view in hub.watch(ORG, session_id, 4, PATIENCE):
            assert view == (5, "CANCELLED")
        assert [view async for view in slow] == [(5, "CANCELLED")]


async def test_whoever_has_the_final_state_gets_nothing(database: Database) -> None:
    """A resumed watch of an ended session ends at once."""
    session_id = await opened(database)
    await end(database, session_id)
    async with running(database) as hub:
        assert [view async for view in hub.watch(ORG, session_id, 2, PATIENCE)] == []
        assert [view async for view in hub.watch(ORG, session_id, 1, PATIENCE)] == [
            (2, "CANCELLED")
        ]


async def test_a_session_of_another_organization_is_unknown(database: Database) -> None:
    """As one that does not exist at all."""
    session_id = await opened(database)
    async with running(database) as hub:
        for org_id, unknown in ((ORG, new_id()), ("globex", session_id)):
            with pytest.raises(SessionNotFoundError):
                await anext(hub.watch(org_id, unknown, 0, PATIENCE))


async def test_stopping_ends_every_watch_with_where_it_was(database: Database) -> None:
    """So that it goes on elsewhere without a gap."""
    session_id = await opened(database)
    async with running(database) as hub:
        watching = hub.watch(ORG, session_id, 0, PATIENCE)
        await anext(watching)
        waiting = asyncio.ensure_future(anext(watching))
        await hub.stop()
        with pytest.raises(DrainingError) as draining:
            await waiting
        token = draining.value.metadata["resume_token"]
        assert revision_of(token, session_id) == 1


async def test_silence_is_told_as_such(database: Database) -> None:
    """When nothing moved for as long as the caller is patient."""
    session_id = await opened(database)
    async with running(database) as hub, aclosing(hub.watch(ORG, session_id, 1, 0.01)) as watching:
        assert await anext(watching) is None


async def test_a_thousand_watchers_cost_what_one_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement for each look, reading one row."""
    session_id = await opened(database)
    with counted_reads(monkeypatch) as reads:
        async with running(database) as hub, AsyncExitStack() as stack:
            watches = [hub.watch(ORG, session_id, 0, PATIENCE) for _ in range(1000)]
            for watch in watches:
                await stack.enter_async_context(aclosing(watch))
            await asyncio.gather(*(anext(watch) for watch in watches))
            await end(database, session_id)
            hub.on_session(None)
            last = await asyncio.gather(*(anext(watch) for watch in watches))
    assert set(last) == {(2, "CANCELLED")}
    assert len(reads) <= 5
    assert set(reads) == {1}


async def test_lost_hints_are_healed_by_the_poll(database: Database) -> None:
    """Nobody hints at the end."""
    session_id = await opened(database)
    async with running(database) as hub:
        watch = hub.watch(ORG, session_id, 1, PATIENCE)
        last = asyncio.ensure_future(anext(watch))
        await end(database, session_id)
        assert await last == (2, "CANCELLED")
        await watch.aclose()


async def test_a_busy_session_does_not_keep_the_poll_from_others(database: Database) -> None:
    """Hints come all the time, but none for the session that ended."""
    busy, quiet = await opened(database), await opened(database)
    async with running(database) as hub, AsyncExitStack() as stack:
        watches = [hub.watch(ORG, session_id, 0, PATIENCE) for session_id in (busy, quiet)]
        for watch in watches:
            await stack.enter_async_context(aclosing(watch))
            await anext(watch)
        last = asyncio.ensure_future(anext(watches[1]))
        await end(database, quiet)

        async def hint_until_seen() -> None:
            hub.on_session(f"{ORG}/{busy}")
            assert last.done()

        await eventually(hint_until_seen, within=6)
        assert await last == (2, "CANCELLED")


async def test_nothing_is_read_once_nobody_watches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic goes with its last watcher."""
    session_id = await opened(database)
    with counted_reads(monkeypatch) as reads:
        async with running(database) as hub:
            async with aclosing(hub.watch(ORG, session_id, 0, PATIENCE)) as watching:
                await anext(watching)
            before = len(reads)
            for hint in (f"{ORG}/{session_id}", None, "nonsense"):
                hub.on_session(hint)
            other = await opened(database)
            async with aclosing(hub.watch(ORG, other, 0, PATIENCE)) as watching:
                await anext(watching)
    assert reads[before:] == [1]
