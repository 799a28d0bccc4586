"""One contact taken out of one queue: for every session that wants it, whatever state it is in."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from crmsync_server.store import queue, session, standing
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.store import people
from tests.store.people import CRM, ORG


@pytest.fixture
async def contact_id(database: Database) -> UUID:
    """Return a contact."""
    (one,) = await people.populate(database, 1)
    return one


async def enqueue(database: Database, *ids: UUID) -> UUID:
    """Queue contacts, and return the session."""
    async with database.org(ORG) as connection:
        return await people.enqueue(connection, ids, people.order())


async def claim(database: Database) -> int:
    """Claim the contact that waits, and return the attempt."""
    async with database.org(ORG) as connection:
        (row,) = await people.claim(connection)
    return row.attempt


async def cancel(database: Database, contact_id: UUID) -> set[UUID] | None:
    """Cancel a contact, and return the sessions that moved."""
    async with database.org(ORG) as connection:
        moved = await standing.cancel(connection, ORG, contact_id, CRM)
    return None if moved is None else set(moved)


async def finish(database: Database, contact_id: UUID, attempt: int, *, synced: bool) -> None:
    """End an attempt well, or with the wish to try again at once."""
    ended = queue.Finished(
        contact_id,
        attempt,
        SyncStatus.COMPLETE if synced else SyncStatus.QUEUED,
        AttemptOutcome.SYNCED if synced else AttemptOutcome.RETRY,
        due_time=None if synced else datetime.now(UTC),
        crm_contact_id="1",
        error_code=None if synced else "HTTP_503",
    )
    async with database.org(ORG) as connection:
        await queue.finish(connection, ORG, CRM, [ended])


async def told(database: Database, contact_id: UUID, *sessions: UUID) -> tuple[str, ...]:
    """Return the standing's status, and each session's state with what it counts as cancelled."""
    async with database.org(ORG) as connection:
        row = await standing.get(connection, ORG, contact_id, CRM)
        found = [await session.get(connection, ORG, one) for one in sessions]
    async with database.everyone() as connection:
        assert not await violations(connection)
    return (row.sync_status, *(f"{one.state} {one.cancelled}/{one.total}" for one in found))


async def test_a_queued_contact_leaves_the_queue_for_every_session(
    database: Database, contact_id: UUID
) -> None:
    """The sessions count it as cancelled; one that has nothing else has ended."""
    (other,) = await people.populate(database, 1)
    first, second = await enqueue(database, contact_id), await enqueue(database, contact_id, other)
    assert await cancel(database, contact_id) == {first, second}
    assert await told(database, contact_id, first, second) == (
        "SELECTED",
        "SUCCEEDED 1/1",
        "RUNNING 1/2",
    )
    assert await claim(database) == 1
    assert await cancel(database, contact_id) is None


async def test_what_waits_for_a_retry_can_be_cancelled(
    database: Database, contact_id: UUID
) -> None:
    """It is queued as well."""
    opened = await enqueue(database, contact_id)
    await finish(database, contact_id, await claim(database), synced=False)
    assert await cancel(database, contact_id) == {opened}
    assert await told(database, contact_id, opened) == ("SELECTED", "SUCCEEDED 1/1")


async def test_a_delivery_under_way_ends_as_it_ends(database: Database, contact_id: UUID) -> None:
    """The session gets its true outcome."""
    opened = await enqueue(database, contact_id)
    attempt = await claim(database)
    assert await cancel(database, contact_id) == set()
    assert await told(database, contact_id, opened) == ("PROCESSING", "RUNNING 0/1")
    await finish(database, contact_id, attempt, synced=True)
    assert await told(database, contact_id, opened) == ("COMPLETE", "SUCCEEDED 0/1")


async def test_a_delivery_under_way_is_not_tried_again(
    database: Database, contact_id: UUID
) -> None:
    """Nor by those who queued the contact again meanwhile: they are cancelled at once."""
    first, attempt = await enqueue(database, contact_id), await claim(database)
    second = await enqueue(database, contact_id)
    assert await cancel(database, contact_id) == {second}
    assert await told(database, contact_id, second) == ("PROCESSING", "SUCCEEDED 1/1")
    await finish(database, contact_id, attempt, synced=False)
    assert await told(database, contact_id, first) == ("SELECTED", "SUCCEEDED 1/1")


async def test_a_session_s_cancel_does_not_undo_it(database: Database, contact_id: UUID) -> None:
    """Although another session still waits for the outcome."""
    first, second = await enqueue(database, contact_id), await enqueue(database, contact_id)
    attempt = await claim(database)
    await cancel(database, contact_id)
    async with database.org(ORG) as connection:
        await session.cancel(connection, ORG, first)
    await finish(database, contact_id, attempt, synced=False)
    assert await told(database, contact_id, first, second) == (
        "SELECTED",
        "CANCELLED 1/1",
        "SUCCEEDED 1/1",
    )


async def test_queueing_after_it_counts(database: Database, contact_id: UUID) -> None:
    """Whoever queues the contact after the cancel gets it delivered."""
    await enqueue(database, contact_id)
    attempt = await claim(database)
    await cancel(database, contact_id)
    later = await enqueue(database, contact_id)
    await finish(database, contact_id, attempt, synced=True)
    await finish(database, contact_id, await claim(database), synced=True)
    assert await told(database, contact_id, later) == ("COMPLETE", "SUCCEEDED 0/1")


async def test_a_cancel_meets_whoever_else_is_at_the_contact(
    database: Database, contact_id: UUID
) -> None:
    """Its sessions' cancels, a queueing and the end of its delivery, in any order."""
    for _ in range(20):
        sessions = [await enqueue(database, contact_id) for _ in range(3)]
        attempt = await claim(database)

        async def cancel_session(session_id: UUID) -> None:
            async with database.org(ORG) as connection:
                await session.cancel(connection, ORG, session_id)

        await asyncio.gather(
            cancel(database, contact_id),
            cancel_session(sessions[1]),
            enqueue(database, contact_id),
            finish(database, contact_id, attempt, synced=False),
        )
        await cancel(database, contact_id)
        (status, *states) = await told(database, contact_id, *sessions)
        assert status == "SELECTED"
        assert not any("RUNNING" in one or "CANCELLING" in one for one in states)


async def test_what_is_not_queued_cannot_be_cancelled(database: Database, contact_id: UUID) -> None:
    """Never selected, or at rest: nothing changes."""
    assert await cancel(database, contact_id) is None
    opened = await enqueue(database, contact_id)
    await finish(database, contact_id, await claim(database), synced=True)
    assert await cancel(database, contact_id) is None
    assert await told(database, contact_id, opened) == ("COMPLETE", "SUCCEEDED 0/1")
