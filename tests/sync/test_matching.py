"""Records that say themselves which contact they are of, by our own id."""

import pytest

from crmsync_server.store.content import Content
from crmsync_server.store.ids import new_id
from tests.store.records import Reading, ada, later
from tests.sync.bench import Shop

OLD, NEW = "ada@example.com", "augusta@example.com"


@pytest.fixture
def reading(shop: Shop) -> Reading:
    """Read into the test's database, which keeps its promises."""
    return Reading(shop.database)


async def test_an_id_that_changed_at_the_crm_is_followed_by_our_own(reading: Reading) -> None:
    """The contact takes the new address, and is linked to the record's new id alone."""
    await reading.absorb(ada(OLD))
    row = await reading.contact()
    renamed = ada(NEW, email=NEW, contact_id=str(row.id), modified_time=later(2))
    taken = await reading.absorb(renamed)
    assert (taken.updated, taken.created, taken.to_push) == (1, 0, [])
    assert ((await reading.contact()).id, (await reading.contact()).email) == (row.id, NEW)
    assert (await reading.base()).crm_contact_id == NEW
    assert (await reading.standing()).crm_contact_id == NEW
    again = await reading.absorb(renamed)
    assert (again.unchanged, again.created) == (1, 0)


async def test_what_changed_here_meanwhile_is_kept_where_an_id_has_changed(
    reading: Reading,
) -> None:
    """What both agreed on before still tells who changed what."""
    await reading.absorb(ada(OLD))
    row = await reading.contact()
    await reading.edit(row.id, company="Looms")
    taken = await reading.absorb(
        ada(NEW, email=NEW, contact_id=str(row.id), first_name="Augusta", modified_time=later(2))
    )
    row = await reading.contact()
    assert (row.email, row.first_name, row.company) == (NEW, "Augusta", "Looms")
    assert taken.to_push == [row.id]


async def test_the_contact_that_a_record_names_comes_before_one_with_its_email(
    reading: Reading,
) -> None:
    """An address that two contacts would have is refused, and both stay as they are."""
    await reading.absorb(ada(OLD))
    named = await reading.contact()
    await reading.keep(other := _content(NEW))
    await reading.open()
    taken = await reading.absorb(ada(NEW, email=NEW, contact_id=str(named.id)))
    assert taken.errors == 1
    assert (await reading.notes())[NEW] == ("ERROR", "EMAIL_TAKEN")
    assert {row.email for row in await reading.contacts()} == {OLD, other.email}


async def test_two_addresses_that_were_exchanged_mix_no_two_contacts(reading: Reading) -> None:
    """The one that is free is taken at once, the other as soon as it is free."""
    await reading.absorb(ada("a@example.com", email="a@example.com", first_name="A"))
    await reading.absorb(ada("b@example.com", email="b@example.com", first_name="B"))
    a, b = await reading.contacts()
    moved = ada("c@example.com", email="c@example.com", first_name="A", contact_id=str(a.id))
    other = ada("a@example.com", email="a@example.com", first_name="B", contact_id=str(b.id))
    await reading.open()
    await reading.absorb(moved, other)
    assert (await reading.notes())["a@example.com"] == ("SKIPPED", "DUPLICATE_AT_CRM")
    await reading.open()
    await reading.absorb(moved, other)
    found = {row.id: (row.email, row.first_name) for row in await reading.contacts()}
    assert found == {a.id: ("c@example.com", "A"), b.id: ("a@example.com", "B")}


async def test_a_record_that_was_copied_with_our_id_does_not_take_the_contact_away(
    reading: Reading,
) -> None:
    """The one that is linked has it; the other is somebody else."""
    await reading.absorb(ada(OLD))
    row = await reading.contact()
    copied = ada(NEW, email=NEW, contact_id=str(row.id))
    taken = await reading.absorb(ada(OLD, contact_id=str(row.id)), copied)
    assert (taken.unchanged, taken.created) == (1, 1)
    assert {one.email for one in await reading.contacts()} == {OLD, NEW}


async def test_an_id_that_is_none_of_ours_says_nothing(reading: Reading) -> None:
    """The account may keep ids of its own there, or those of another installation."""
    await reading.absorb(ada(OLD))
    for unknown in ("4711", str(new_id())):
        taken = await reading.absorb(ada(OLD, contact_id=unknown))
        assert taken.unchanged == 1


async def test_a_record_of_a_contact_that_was_deleted_here_makes_no_new_one(
    reading: Reading,
) -> None:
    """Also where it has another address since."""
    await reading.absorb(ada(OLD))
    row = await reading.contact()
    await reading.delete(row.id)
    await reading.open()
    taken = await reading.absorb(ada(NEW, email=NEW, contact_id=str(row.id)))
    assert (taken.skipped, taken.created) == (1, 0)
    assert (await reading.notes())[NEW] == ("SKIPPED", "CONTACT_DELETED")


def _content(email: str) -> Content:
    return Content(email, "Somebody", "Some", "Body")
