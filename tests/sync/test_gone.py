"""What a contact whose record was removed at the CRM has to go through until it has one again."""

from uuid import UUID

import pytest

from crmsync_server.crm.outcomes import Rejected
from crmsync_server.store import account, queue, session
from tests.store import people
from tests.store.people import CRM, ORG
from tests.store.records import Reading, ada
from tests.sync.adapters import Scripted, all_synced, answering
from tests.sync.bench import Shop

CHANGES = queue.Selection(changed_only=True)


@pytest.fixture
def reading(shop: Shop) -> Reading:
    """Read the CRM that the shop delivers to."""
    return Reading(shop.database)


async def gone(reading: Reading) -> UUID:
    """Read a record, find it gone, and return the contact's id."""
    await reading.absorb(ada())
    await reading.sweep("1")
    contact_id: UUID = (await reading.contact()).id
    return contact_id


async def changed(shop: Shop) -> int:
    """Queue what has changed, and return how many."""
    async with shop.database.org(ORG) as connection:
        count, _ = await queue.enqueue(connection, ORG, CHANGES, people.order())
    return count


async def test_what_is_not_told_to_a_crm_does_not_bring_a_record_back(
    shop: Shop, reading: Reading
) -> None:
    """And what is, does."""
    contact_id = await gone(reading)
    await reading.edit(contact_id, notes="prefers tea")
    assert await changed(shop) == 0
    await reading.edit(contact_id, company="Looms")
    assert await changed(shop) == 1


async def test_what_was_asked_for_and_failed_is_tried_again(shop: Shop, reading: Reading) -> None:
    """As any other: it was asked for after its record was removed."""
    contact_id = await gone(reading)
    await shop.enqueue([contact_id], people.order())
    lane = shop.lane(
        Scripted(answers=[answering(lambda _: Rejected("FORBIDDEN", "no")), all_synced])
    )
    await lane.deliver()
    assert await changed(shop) == 1


async def test_what_was_asked_for_and_cancelled_stays_removed(shop: Shop, reading: Reading) -> None:
    """Nobody asks for it any more."""
    contact_id = await gone(reading)
    order = people.order()
    await shop.enqueue([contact_id], order)
    async with shop.database.org(ORG) as connection:
        await session.cancel(connection, ORG, order.session_id)
    assert await changed(shop) == 0


async def test_a_record_that_is_found_again_is_one_like_any_other(
    shop: Shop, reading: Reading
) -> None:
    """What it lacks is delivered."""
    await gone(reading)
    await reading.absorb(ada("2", company=""))
    assert await changed(shop) == 1
    assert (await reading.standing()).gone_hash is None


async def test_another_account_is_told_of_everybody(shop: Shop, reading: Reading) -> None:
    """Nobody has removed a record there."""
    await gone(reading)
    async with shop.database.org(ORG) as connection:
        await account.forget(connection, ORG, CRM)
    assert await changed(shop) == 1
