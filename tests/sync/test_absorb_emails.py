"""Emails that only one side has: they name contacts, and cannot be taken away at a CRM."""

from collections.abc import AsyncIterator

import pytest

from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.merging import MergePolicy, Merging
from tests.store.records import Reading, ada, later

PHONE = "+442071838750"


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    """Read into the test's database, where ours wins, and check its promises at the end."""
    reading = Reading(database, Merging(MergePolicy.OURS_WINS))
    yield reading
    async with database.everyone() as connection:
        assert not await violations(connection)


@pytest.mark.parametrize("policy", MergePolicy)
async def test_a_changed_email_goes_to_a_record_that_lost_its_own(
    reading: Reading, policy: MergePolicy
) -> None:
    """Whatever the policy: the CRM cannot take it away here."""
    reading.merging = Merging(policy)
    await reading.absorb(ada())
    contact_id = (await reading.contact()).id
    await reading.edit(contact_id, email="countess@example.com")
    taken = await reading.absorb(ada(email="", modified_time=later(2)))
    assert taken.to_push == [contact_id]


async def test_an_email_given_later_goes_to_a_record_without_one(reading: Reading) -> None:
    """Also when the record is read before it is delivered."""
    await reading.absorb(ada(email="", phone=PHONE))
    contact_id = (await reading.contact()).id
    await reading.edit(contact_id, email="ada@example.com")
    for _ in range(2):
        taken = await reading.absorb(ada(email="", phone=PHONE))
        assert taken.to_push == [contact_id]


async def test_an_email_that_only_the_crm_emptied_stays_here(reading: Reading) -> None:
    """And is not due there."""
    await reading.absorb(ada(phone=PHONE))
    taken = await reading.absorb(ada(email="", phone=PHONE, modified_time=later(2)))
    assert not taken.to_push
    assert (await reading.contact()).email == "ada@example.com"


async def test_an_email_taken_away_here_is_not_due_at_a_crm_that_changed_it(
    reading: Reading,
) -> None:
    """A new one is; and what the CRM has once neither had one is taken."""
    await reading.absorb(ada(phone=PHONE))
    contact_id = (await reading.contact()).id
    await reading.edit(contact_id, email=None)
    changed = ada(email="b@example.com", phone=PHONE, modified_time=later(2))
    for _ in range(2):
        assert not (await reading.absorb(changed)).to_push
        assert (await reading.standing()).sync_status == "COMPLETE"
    await reading.edit(contact_id, email="c@example.com")
    assert (await reading.absorb(changed)).to_push == [contact_id]
    await reading.edit(contact_id, email=None)
    await reading.absorb(ada(email="", phone=PHONE, modified_time=later(3)))
    await reading.absorb(ada(email="d@example.com", phone=PHONE, modified_time=later(4)))
    assert (await reading.contact()).email == "d@example.com"


@pytest.mark.parametrize("theirs", ["work@example.com", "other@example.com"])
async def test_the_lack_of_what_the_email_is_told_from_is_never_due(
    reading: Reading, theirs: str
) -> None:
    """Whichever field of the contact it comes from."""
    reading.mapping = FieldMapping((Rule("email", source="properties.work"),))
    await reading.absorb(ada(email="work@example.com", phone=PHONE))
    row = await reading.contact()
    assert Content.of(row).properties == {"work": "work@example.com"}
    await reading.edit(row.id, properties={})
    for day in (2, 3):
        record = ada(email=theirs, phone=PHONE, modified_time=later(day))
        assert not (await reading.absorb(record)).to_push


async def test_an_email_that_is_told_as_a_property_is_cleared_there(reading: Reading) -> None:
    """That field of the CRM's names nobody."""
    reading.mapping = FieldMapping(
        (Rule("email", source="properties.work"), Rule("private", source="email"))
    )
    told = {"email": "work@example.com", "phone": PHONE}
    await reading.absorb(ada(**told, properties={"private": "ada@example.com"}))
    row = await reading.contact()
    assert row.email == "ada@example.com"
    await reading.edit(row.id, email=None)
    changed = ada(**told, properties={"private": "b@example.com"}, modified_time=later(2))
    assert (await reading.absorb(changed)).to_push == [row.id]
