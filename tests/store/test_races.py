"""What happens when two transactions meet at the same standing, one of them held open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact, queue, session, standing
from crmsync_server.store.claimed import Attempt
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.eventually import eventually
from tests.store import people
from tests.store.people import CRM, ORG

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]


@pytest.fixture(autouse=True)
async def _the_queue_keeps_its_promises(database: Database) -> AsyncIterator[None]:
    yield
    async with database.everyone() as connection:
        assert not await violations(connection)


async def run(database: Database, work: Work[Result]) -> Result:
    """Run in a transaction of its own."""
    async with database.org(ORG) as connection:
        return await work(connection)


@asynccontextmanager
async def meanwhile(database: Database, work: Work[Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """Begin a second transaction and go on once it waits for a lock that somebody holds."""
    task = asyncio.create_task(run(database, work))
    await eventually(lambda: assert_waiting(database))
    yield task


async def assert_waiting(database: Database) -> None:
    """Check that a transaction waits for another one's lock."""
    async with database.everyone() as connection:
        waiting = await connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    assert waiting == 1


def synced(row: Attempt) -> queue.Finished:
    """End a claimed row's attempt well."""
    return queue.Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.COMPLETE,
        AttemptOutcome.SYNCED,
        crm_contact_id="1",
    )


def again(row: Attempt, outcome: AttemptOutcome = AttemptOutcome.RETRY) -> queue.Finished:
    """Give a claimed row's attempt back to the queue."""
    return queue.Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.QUEUED,
        outcome,
        due_time=datetime.now(UTC),
        error_code="HTTP_503",
    )


def finishing(*batch: queue.Finished) -> Work[queue.Receipt]:
    """Return the work of finishing these."""
    return lambda connection: queue.finish(connection, ORG, CRM, batch)


def cancelling(session_id: UUID) -> Work[sa.Row[Any]]:
    """Return the work of cancelling a session."""
    return lambda connection: session.cancel(connection, ORG, session_id)


def enqueueing(ids: Sequence[UUID]) -> Work[UUID]:
    """Return the work of queueing contacts."""
    return lambda connection: people.enqueue(connection, ids, people.order())


async def status(database: Database, contact_id: UUID) -> str:
    """Return how a contact stands."""

    async def read(connection: AsyncConnection) -> str:
        found = await connection.scalar(
            sa.text("SELECT sync_status FROM contact_syncs WHERE contact_id = :id"),
            {"id": contact_id},
        )
        return str(found)

    return await run(database, read)


async def state(database: Database, session_id: UUID) -> str:
    """Return where a session stands."""
    row = await run(database, lambda c: session.get(c, ORG, session_id))
    return str(row.state)


async def one_under_way(database: Database) -> tuple[UUID, UUID, Attempt]:
    """Queue and claim one contact; return it, its session and the claim."""
    [contact_id] = await people.populate(database, 1)
    session_id = await run(database, enqueueing([contact_id]))
    [row] = await run(database, people.claim)
    return contact_id, session_id, row


async def test_an_edit_that_waits_for_a_claim_is_delivered_too(database: Database) -> None:
    """The claim took the content before it; so the contact goes back to the queue."""
    [contact_id] = await people.populate(database, 1)
    await run(database, enqueueing([contact_id]))
    async with database.org(ORG) as claiming:
        [row] = await people.claim(claiming)
        async with meanwhile(database, lambda c: people.edit(c, ORG, contact_id, "b")) as edit:
            pass
    await edit
    receipt = await run(database, finishing(synced(row)))
    assert (row.first_name, receipt.requeued) == ("a", 1)
    [row] = await run(database, people.claim)
    assert (row.first_name, row.unchanged) == ("b", False)


async def test_a_contact_that_is_being_edited_is_not_claimed_with_old_content(
    database: Database,
) -> None:
    """Nor does the claim wait for the edit."""
    [contact_id] = await people.populate(database, 1)
    await run(database, enqueueing([contact_id]))
    async with database.org(ORG) as editing:
        await people.edit(editing, ORG, contact_id, "b")
        assert not await run(database, people.claim)
    [row] = await run(database, people.claim)
    assert row.first_name == "b"


async def test_a_contact_first_queued_during_its_edit_is_delivered_as_edited(
    database: Database,
) -> None:
    """The edit cannot know of the new standing; the finish notices, and it is delivered again."""
    [contact_id] = await people.populate(database, 1)
    async with database.org(ORG) as editing:
        await people.edit(editing, ORG, contact_id, "b")
        await run(database, enqueueing([contact_id]))
        [row] = await run(database, people.claim)
    receipt = await run(database, finishing(synced(row)))
    assert (row.first_name, receipt.requeued) == ("a", 1)
    [row] = await run(database, people.claim)
    assert (row.first_name, row.unchanged) == ("b", False)


async def test_a_finish_sees_the_queueing_that_it_waited_for(database: Database) -> None:
    """The attempt settles the first session; the second still waits for the next one."""
    contact_id, first, row = await one_under_way(database)
    async with database.org(ORG) as queueing:
        second = await people.enqueue(queueing, [contact_id], people.order())
        async with meanwhile(database, finishing(synced(row))) as finish:
            pass
    assert (await finish).requeued == 1
    assert [await state(database, one) for one in (first, second)] == ["SUCCEEDED", "RUNNING"]


async def test_two_first_queueings_of_a_contact_make_one_standing(database: Database) -> None:
    """Both sessions count it, the counts do so once."""
    [contact_id] = await people.populate(database, 1)
    async with database.org(ORG) as queueing:
        first = await people.enqueue(queueing, [contact_id], people.order())
        async with meanwhile(database, enqueueing([contact_id])) as enqueue:
            pass
    second = await enqueue
    [row] = await run(database, people.claim)
    receipt = await run(database, finishing(synced(row)))
    assert set(receipt.ended_ids) == {first, second}


async def test_a_finish_that_waits_for_a_cancel_obeys_it(database: Database) -> None:
    """What was not delivered is not tried again."""
    contact_id, session_id, row = await one_under_way(database)
    async with database.org(ORG) as cancel:
        assert (await session.cancel(cancel, ORG, session_id)).state == "CANCELLING"
        async with meanwhile(database, finishing(again(row))) as finish:
            pass
    assert (await finish).ended_ids == [session_id]
    assert await status(database, contact_id) == "SELECTED"
    assert await state(database, session_id) == "CANCELLED"


async def test_a_finish_ends_the_session_whose_cancel_it_waited_for(database: Database) -> None:
    """Though another session keeps the contact in the queue."""
    contact_id, first, row = await one_under_way(database)
    second = await run(database, enqueueing([contact_id]))
    async with database.org(ORG) as cancel:
        await session.cancel(cancel, ORG, first)
        async with meanwhile(database, finishing(again(row))) as finish:
            pass
    assert (await finish).ended_ids == [first]
    assert await status(database, contact_id) == "QUEUED"
    assert await state(database, second) == "RUNNING"
    await run(database, cancelling(second))
    assert await status(database, contact_id) == "SELECTED"


async def test_a_cancel_that_waits_for_the_last_finish_finds_the_session_ended(
    database: Database,
) -> None:
    """It leaves it as it is."""
    contact_id, session_id, row = await one_under_way(database)
    async with database.org(ORG) as finish:
        await queue.finish(finish, ORG, CRM, [synced(row)])
        async with meanwhile(database, cancelling(session_id)) as cancel:
            pass
    assert (await cancel).state == "SUCCEEDED"
    assert await status(database, contact_id) == "COMPLETE"


async def test_of_two_cancels_the_second_takes_the_contacts_out(database: Database) -> None:
    """Neither relies on the other to want them."""
    ids = await people.populate(database, 3)
    first, second = [await run(database, enqueueing(ids)) for _ in range(2)]
    async with database.org(ORG) as cancel:
        await session.cancel(cancel, ORG, first)
        async with meanwhile(database, cancelling(second)) as other:
            pass
    assert (await other).state == "CANCELLED"
    assert {await status(database, one) for one in ids} == {"SELECTED"}


async def test_a_cancelled_second_queueing_is_forgotten(database: Database) -> None:
    """The delivery under way belongs to the first session, and is the last one."""
    contact_id, first, row = await one_under_way(database)
    second = await run(database, enqueueing([contact_id]))
    assert (await run(database, cancelling(second))).state == "CANCELLED"
    receipt = await run(database, finishing(synced(row)))
    assert (receipt.requeued, receipt.ended_ids) == (0, [first])


async def test_a_contact_that_is_twice_in_a_batch_is_finished_once(database: Database) -> None:
    """The same attempt again, or one that was lost long ago."""
    contact_id, session_id, first = await one_under_way(database)
    await run(database, finishing(again(first)))
    [row] = await run(database, people.claim)
    receipt = await run(database, finishing(synced(row), synced(first), synced(row)))
    assert (receipt.finished, list(receipt.ended_ids)) == (1, [session_id])
    assert await status(database, contact_id) == "COMPLETE"


async def test_a_finish_that_waits_for_the_cancel_of_its_contact_obeys_it(
    database: Database,
) -> None:
    """Though another contact of the batch has nothing to do with it."""
    ids = await people.populate(database, 2)
    session_id = await run(database, enqueueing(ids))
    rows = await run(database, people.claim)
    async with database.org(ORG) as cancelling_it:
        await standing.cancel(cancelling_it, ORG, ids[1], CRM)
        batch = [again(row) if row.contact_id == ids[1] else synced(row) for row in rows]
        async with meanwhile(database, finishing(*batch)) as finish:
            pass
    await finish
    assert [await status(database, one) for one in ids] == ["COMPLETE", "SELECTED"]
    assert await state(database, session_id) == "SUCCEEDED"


async def test_a_finish_that_waits_for_an_edit_knows_of_it(database: Database) -> None:
    """It began before the edit was committed, and sends the contact back."""
    contact_id, session_id, row = await one_under_way(database)
    async with database.org(ORG) as editing:
        await people.edit(editing, ORG, contact_id, "b")
        async with meanwhile(database, finishing(synced(row))) as finish:
            pass
    assert (await finish).requeued == 1
    assert await state(database, session_id) == "SUCCEEDED"
    [row] = await run(database, people.claim)
    assert row.first_name == "b"


async def test_a_late_finish_that_waits_for_a_rescue_changes_nothing(database: Database) -> None:
    """The rescue has ended the attempt already."""
    contact_id, _, row = await one_under_way(database)
    await run(database, expire)
    async with database.org(ORG) as rescue:
        [expired] = await queue.lock_expired(rescue, ORG, CRM, size=10)
        await queue.finish(rescue, ORG, CRM, [again(expired, AttemptOutcome.LEASE_EXPIRED)])
        async with meanwhile(database, finishing(synced(row))) as finish:
            pass
    assert (await finish).finished == 0
    assert await status(database, contact_id) == "QUEUED"


async def test_a_rescue_leaves_alone_what_is_being_finished(database: Database) -> None:
    """Nor does it wait for it."""
    contact_id, _, row = await one_under_way(database)
    await run(database, expire)
    async with database.org(ORG) as finish:
        await queue.finish(finish, ORG, CRM, [synced(row)])
        assert not await run(database, lambda c: queue.lock_expired(c, ORG, CRM, size=10))
    assert await status(database, contact_id) == "COMPLETE"


async def expire(connection: AsyncConnection) -> None:
    """End every lease."""
    await connection.execute(
        sa.text(
            "UPDATE contact_syncs SET lease_until = now() - interval '1 second'"
            " WHERE lease_until IS NOT NULL"
        )
    )


async def test_two_claims_never_overlap(database: Database) -> None:
    """The second takes what the first has left, and does not wait."""
    ids = await people.populate(database, 10)
    await run(database, enqueueing(ids))
    async with database.org(ORG) as claiming:
        first = await people.claim(claiming, 6)
        second = await run(database, lambda c: people.claim(c, 6))
    assert [len(first), len(second)] == [6, 4]
    assert {row.contact_id for row in (*first, *second)} == set(ids)


async def test_a_contact_deleted_under_way_comes_back_as_deleted(database: Database) -> None:
    """What its session waited for has happened all the same."""
    contact_id, session_id, row = await one_under_way(database)
    await run(database, lambda c: contact.delete(c, ORG, contact_id))
    assert (await run(database, finishing(synced(row)))).requeued == 1
    [row] = await run(database, people.claim)
    assert row.deleted
    assert await state(database, session_id) == "SUCCEEDED"
