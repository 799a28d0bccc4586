"""A lane that removes records: apart from deliveries, until they are gone, and nobody else's."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.outcomes import Outcome, Rejected, Retry, Unknown
from crmsync_server.store import contact, failure, queue, session
from crmsync_server.store.content import Content
from crmsync_server.store.merging import DeletionPolicy, Merging
from crmsync_server.store.states import SyncStatus
from tests.store import people
from tests.store.people import ORG
from tests.store.records import Reading, ada
from tests.sync.adapters import Answer, Gate, Scripted, all_synced, answering, traits
from tests.sync.bench import Shop


def remover(*removals: Answer) -> Scripted:
    """Return an adapter that removes, and answers so; without answers it removes all."""
    return Scripted(traits(delete=True), removals=list(removals or (all_synced,)))


async def removing(shop: Shop, ids: Sequence[UUID]) -> UUID:
    """Ask for records to be removed, and return the session."""
    order = people.order(removing=True)
    await shop.enqueue(ids, order)
    return order.session_id


async def outcomes(shop: Shop, session_id: UUID) -> list[tuple[str | None, str | None]]:
    """Return what a session's items ended in, and their error codes."""
    rows = await shop.rows(
        "SELECT outcome, error_code FROM session_items WHERE session_id = :id ORDER BY contact_id",
        id=session_id,
    )
    return [(row.outcome, row.error_code) for row in rows]


async def test_a_removal_leaves_no_link_and_counts_as_synced(shop: Shop) -> None:
    """The standing is SELECTED, and the next delivery would make a new record."""
    adapter = remover()
    (one,) = await people.populate(shop.database, 1)
    await shop.enqueue([one], people.order())
    lane = shop.lane(adapter)
    await lane.deliver()
    asked = await removing(shop, [one])
    await lane.deliver()
    ((told,),) = adapter.removed
    assert told.crm_contact_id == f"crm-{one}"
    row = await shop.standing(one)
    assert (row.sync_status, row.crm_contact_id, row.synced_hash, row.synced_time) == (
        SyncStatus.SELECTED,
        None,
        None,
        None,
    )
    assert await outcomes(shop, asked) == [("SYNCED", None)]
    await shop.enqueue([one], people.order())
    await lane.deliver()
    assert adapter.pushed[-1][0].crm_contact_id is None


async def test_removals_and_deliveries_of_one_batch_go_apart(shop: Shop) -> None:
    """Removals first: an email that they free may be needed."""
    adapter = remover()
    first, second, third = await people.populate(shop.database, 3)
    await removing(shop, [second])
    await shop.enqueue([first, third], people.order())
    assert await shop.lane(adapter).deliver() == 3
    assert [one.contact_id for one in adapter.removed[0]] == [second]
    assert [one.contact_id for one in adapter.pushed[0]] == [first, third]


async def test_an_edit_does_not_call_a_removal_off(shop: Shop) -> None:
    """Neither before it is claimed nor while it is under way."""
    gate = Gate()
    adapter = remover(gate)
    async with shop.database.org(ORG) as connection:
        one = await people.create(connection, ORG, "a", email=True)
    asked = await removing(shop, [one])

    await shop.edit(one, "b")
    lane = shop.lane(adapter)
    batch = await lane.claim()
    assert batch is not None
    await shop.edit(one, "c")
    gate.open()
    await lane.end(batch)
    assert await outcomes(shop, asked) == [("SYNCED", None)]
    assert (await shop.standing(one)).sync_status == SyncStatus.SELECTED
    assert not adapter.pushed


async def test_queueing_a_contact_calls_its_removal_off(shop: Shop) -> None:
    """Whoever asked for it is told that something else was asked for later."""
    adapter = remover()
    (one,) = await people.populate(shop.database, 1)
    asked = await removing(shop, [one])
    again = await shop.enqueue([one], people.order())
    await shop.lane(adapter).deliver()
    assert not adapter.removed
    assert await outcomes(shop, asked) == [("CANCELLED", "OVERTAKEN")]
    assert await outcomes(shop, again) == [("SYNCED", None)]


async def test_cancelling_a_removal_leaves_what_another_session_wants(shop: Shop) -> None:
    """A cancelled removal removes nothing, and the delivery asked for before is made."""
    adapter = remover()
    (one,) = await people.populate(shop.database, 1)
    wanted = await shop.enqueue([one], people.order())
    asked = await removing(shop, [one])
    async with shop.database.org(ORG) as connection:
        await session.cancel(connection, ORG, asked)
    await shop.lane(adapter).deliver()
    assert not adapter.removed
    assert await outcomes(shop, wanted) == [("SYNCED", None)]
    assert await outcomes(shop, asked) == [("CANCELLED", None)]


async def test_a_removal_that_fails_is_tried_again_and_then_an_error(shop: Shop) -> None:
    """As every attempt; a retry of the failure removes, and does not deliver."""
    adapter = remover(answering(lambda _: Rejected("FORBIDDEN", "no")), all_synced)
    (one,) = await people.populate(shop.database, 1)
    asked = await removing(shop, [one])
    lane = shop.lane(adapter)
    await lane.deliver()
    row = await shop.standing(one)
    assert (row.sync_status, row.removing) == (SyncStatus.ERROR, True)
    assert await outcomes(shop, asked) == [("ERROR", "FORBIDDEN")]
    async with shop.database.org(ORG) as connection:
        await failure.retry(connection, ORG, failure.Retry(contact_id=one), people.order())
    await lane.deliver()
    assert len(adapter.removed) == 2
    assert not adapter.pushed
    assert (await shop.standing(one)).sync_status == SyncStatus.SELECTED


@pytest.mark.parametrize("outcome", [Unknown("no answer"), Retry("CRM_FAULT", "later")])
async def test_a_removal_without_an_answer_is_made_again(shop: Shop, outcome: Outcome) -> None:
    """Also at a CRM that must not be given a contact twice: gone is gone."""
    able = traits(delete=True, idempotent=False)
    adapter = Scripted(able, removals=[answering(lambda _: outcome), all_synced])
    (one,) = await people.populate(shop.database, 1)
    asked = await removing(shop, [one])
    lane = shop.lane(adapter)
    await lane.deliver()
    assert (await shop.standing(one)).sync_status == SyncStatus.QUEUED
    await shop.make_due()
    await lane.deliver()
    assert await outcomes(shop, asked) == [("SYNCED", None)]


async def test_an_adapter_that_removes_nothing_is_not_asked_to(shop: Shop) -> None:
    """Work may wait from before the adapter was exchanged."""
    adapter = Scripted()
    (one,) = await people.populate(shop.database, 1)
    asked = await removing(shop, [one])
    await shop.lane(adapter).deliver()
    assert not adapter.removed
    assert await outcomes(shop, asked) == [("ERROR", "NOT_SUPPORTED")]


async def test_refused_credentials_at_a_removal_lose_no_delivery(shop: Shop) -> None:
    """What the same batch delivered stays delivered; the removal waits."""

    async def refuse(_: Sequence[Delivery]) -> Sequence[Outcome]:
        raise CredentialsRefusedError

    adapter = remover(refuse)
    first, second = await people.populate(shop.database, 2)
    await removing(shop, [first])
    delivered = await shop.enqueue([second], people.order())
    await shop.lane(adapter).deliver()
    assert await outcomes(shop, delivered) == [("SYNCED", None)]
    assert (await shop.standing(first)).sync_status == SyncStatus.QUEUED


async def test_the_record_of_a_deleted_contact_is_removed(shop: Shop) -> None:
    """Its email still tells which one it is."""
    adapter = remover()
    async with shop.database.org(ORG) as connection:
        row = await contact.create(connection, ORG, Content(email="ada@example.com"))
        order = people.order(removing=True)
        await queue.enqueue(connection, ORG, queue.Selection([row.id]), order)
        await contact.delete(connection, ORG, row.id)
    await shop.lane(adapter).deliver()
    assert [one.email for one in adapter.removed[0]] == ["ada@example.com"]
    assert await outcomes(shop, order.session_id) == [("SYNCED", None)]


async def test_nobody_elses_record_is_removed_by_an_email_that_has_moved_on(shop: Shop) -> None:
    """The email of a deleted contact is another one's by now."""
    adapter = remover()
    async with shop.database.org(ORG) as connection:
        row = await contact.create(connection, ORG, Content(email="ada@example.com"))
        order = people.order(removing=True)
        await queue.enqueue(connection, ORG, queue.Selection([row.id]), order)
        await contact.delete(connection, ORG, row.id)
        await contact.create(connection, ORG, Content(email="Ada@example.com"))
    await shop.lane(adapter).deliver()
    assert [one.email for one in adapter.removed[0]] == [""]


async def test_a_removal_forgets_what_was_agreed_on_with_the_record(shop: Shop) -> None:
    """A reading finds nobody linked to it any more."""
    reading = Reading(shop.database)
    await reading.absorb(ada())
    row = await reading.contact()
    await removing(shop, [row.id])
    await shop.lane(remover()).deliver()
    assert not await reading.rows("SELECT 1 FROM sync_bases")


async def test_what_we_remove_ourselves_deletes_no_contact(shop: Shop) -> None:
    """A reading that sees the record gone before the answer does not take it for the CRM's wish."""
    reading = Reading(shop.database, merging=Merging(deletion_policy=DeletionPolicy.DELETE))
    await reading.absorb(ada())
    row = await reading.contact()
    gate = Gate()
    await removing(shop, [row.id])
    lane = shop.lane(remover(gate))
    batch = await lane.claim()
    assert batch is not None
    await reading.sweep("1")
    gate.open()
    await lane.end(batch)
    assert (await reading.contact()).id == row.id
    assert (await shop.standing(row.id)).sync_status == SyncStatus.SELECTED
