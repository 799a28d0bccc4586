"""A lane whose CRM is read as well: what it tells, and what it writes down of that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.crm.outcomes import Accepted, Outcome, Rejected, Synced, Unknown
from crmsync_server.store.merging import MergePolicy, Merging
from crmsync_server.sync.lane import Lane
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.push import Deliverer
from tests.store import people
from tests.store.people import CRM, ORG
from tests.store.records import Reading, ada, later
from tests.sync.adapters import Scripted, answering
from tests.sync.bench import Shop, now

TWO_WAYS = LaneConfig(two_way=True)


@dataclass(frozen=True)
class Pair:
    """A lane and a reading of the same CRM; the lane's record is always `1`."""

    shop: Shop
    reading: Reading
    adapter: Scripted

    def lane(self, config: LaneConfig = TWO_WAYS) -> Lane:
        """Return the lane."""
        return Lane(ORG, CRM, Deliverer(self.adapter, config), self.shop.bench)

    async def deliver(self, config: LaneConfig = TWO_WAYS, *, force: bool = False) -> None:
        """Queue the one contact and deliver it."""
        contact_id = (await self.reading.contact()).id
        await self.shop.enqueue([contact_id], people.order(force=force))
        await self.lane(config).deliver()

    @property
    def told(self) -> Delivery:
        """Return what was delivered last."""
        [delivery] = self.adapter.pushed[-1]
        return delivery


async def as_one(batch: Sequence[Delivery]) -> Sequence[Outcome]:
    """Take everything as the record 1."""
    return [Synced("1") for _ in batch]


@pytest.fixture
def pair(shop: Shop) -> Pair:
    """Work on the test's database, which keeps its promises."""
    return Pair(shop, Reading(shop.database), Scripted(answers=[as_one]))


async def test_a_delivery_leaves_out_what_has_not_changed_here(pair: Pair) -> None:
    """So that what changed at the CRM meanwhile stays; the email tells whose it is."""
    await pair.reading.absorb(ada(properties={"plan": "gold"}))
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.deliver()
    told = pair.told
    assert (told.email, told.first_name, told.company) == ("ada@example.com", "", "Looms")
    assert (told.properties, told.blank) == ({}, frozenset())


async def test_what_was_delivered_is_agreed_on(pair: Pair) -> None:
    """What was left out stays agreed on as well."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.deliver()
    base, standing = await pair.reading.base(), await pair.reading.standing()
    assert (base.fields["company"], base.fields["first_name"]) == ("Looms", "Ada")
    assert base.synced_time == standing.synced_time
    assert standing.sync_status == "COMPLETE"


async def test_both_sides_changes_of_different_fields_meet(pair: Pair) -> None:
    """Delivered without having been read, read after it was delivered."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.deliver()
    taken = await pair.reading.absorb(
        ada(company="Looms", first_name="Augusta", modified_time=later(2))
    )
    assert taken.updated == 1
    row = await pair.reading.contact()
    assert (row.first_name, row.company) == ("Augusta", "Looms")


async def test_what_was_emptied_here_is_cleared_there(pair: Pair) -> None:
    """Where both had agreed on a value before."""
    await pair.reading.absorb(ada(properties={"plan": "gold"}))
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="", properties={})
    await pair.deliver()
    assert pair.told.blank == {"company", "plan"}
    assert pair.told.properties == {"plan": ""}
    taken = await pair.reading.absorb(ada(company="", properties={"plan": ""}))
    assert (taken.unchanged, taken.to_push) == (1, [])


async def test_nothing_is_sent_that_the_crm_has(pair: Pair) -> None:
    """And the standing says that it has it."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.reading.edit(row.id, company="  Engines ")
    await pair.deliver()
    row, standing = await pair.reading.contact(), await pair.reading.standing()
    assert not pair.adapter.pushed
    assert (standing.sync_status, standing.skip_reason) == ("SKIPPED", "UNCHANGED")
    assert standing.synced_hash == row.content_hash


async def test_what_is_forced_is_told_whole(pair: Pair) -> None:
    """Whatever was agreed on."""
    await pair.reading.absorb(ada())
    await pair.deliver(force=True)
    assert (pair.told.first_name, pair.told.company) == ("Ada", "Engines")


async def test_after_an_unknown_outcome_what_it_may_have_brought_is_told(pair: Pair) -> None:
    """Although it is what both agreed on before: nobody knows whether the CRM still has that."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Unknown("no answer")))
    await pair.deliver()
    await pair.reading.edit(row.id, company="Engines")
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert (pair.told.first_name, pair.told.company) == ("", "Engines")
    standing = await pair.reading.standing()
    assert (standing.sync_status, standing.unsettled) == ("COMPLETE", None)


async def test_a_field_in_conflict_is_not_delivered(pair: Pair) -> None:
    """Others are; and the CRM is not taken to have everything."""
    manual = Merging(policy=MergePolicy.MANUAL)
    pair.reading.merging = manual
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms", last_name="King")
    await pair.reading.absorb(ada(company="Mills", modified_time=later(2)))
    await pair.deliver(replace(TWO_WAYS, merging=manual))
    assert (pair.told.company, pair.told.last_name) == ("", "King")
    standing = await pair.reading.standing()
    assert (standing.sync_status, standing.synced_hash) == ("COMPLETE", b"")
    base = await pair.reading.base()
    assert (base.conflicted, base.fields["company"]) == (["company"], "Engines")


async def test_a_lane_that_is_not_read_writes_nothing_down(pair: Pair) -> None:
    """It tells everything, and what was agreed on does not hold any more."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.deliver(LaneConfig())
    assert pair.told.first_name == "Ada"
    base, standing = await pair.reading.base(), await pair.reading.standing()
    assert base.fields["company"] == "Engines"
    assert base.synced_time < standing.synced_time
    # What was delivered is what both have, all the same.
    taken = await pair.reading.absorb(ada(company="Looms", last_name="King"))
    assert (taken.updated, taken.to_push) == (1, [])


async def test_a_delivery_that_comes_back_late_changes_nothing(pair: Pair) -> None:
    """The CRM's index showed what an earlier delivery had brought."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    for company in ("Looms", "Mills"):
        await pair.reading.edit(row.id, company=company)
        await pair.deliver()
    for company in ("Engines", "Looms"):
        taken = await pair.reading.absorb(ada(company=company, modified_time=later(2)))
        assert (taken.unchanged, taken.to_push) == (1, [])
    assert (await pair.reading.contact()).company == "Mills"


async def test_a_late_reading_still_brings_another_field_s_change(pair: Pair) -> None:
    """Of a record as it was before our last delivery, only what changed there is news."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    for company in ("Looms", "Mills"):
        await pair.reading.edit(row.id, company=company)
        await pair.deliver()
    await pair.reading.absorb(ada(company="Looms", last_name="King", modified_time=later(2)))
    row = await pair.reading.contact()
    assert (row.company, row.last_name) == ("Mills", "King")


async def test_a_new_contact_s_delivery_links_it(pair: Pair) -> None:
    """What is read of it afterwards is its own."""
    await pair.reading.keep()
    await pair.deliver()
    base = await pair.reading.base()
    assert base.crm_contact_id == "1"
    assert base.fields["company"] == "Engines"
    taken = await pair.reading.absorb(ada(email="ada@example.org"))
    assert taken.updated == 1
    assert (await pair.reading.contact()).email == "ada@example.org"


async def test_a_record_that_another_contact_has_stays_its_own(pair: Pair) -> None:
    """Two contacts delivered to one record: the second is not linked."""
    await pair.reading.absorb(ada(email="other@example.com"))
    other: Any = await pair.reading.base()
    await pair.reading.keep()
    rows = await pair.reading.contacts()
    await pair.shop.enqueue([row.id for row in rows if row.id != other.contact_id], people.order())
    await pair.lane().deliver()
    assert (await pair.reading.base()).contact_id == other.contact_id


async def test_an_import_s_end_writes_down_what_it_has_brought(pair: Pair) -> None:
    """What was told is made up again, long after it was sent."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Accepted("import-1", now())))
    pair.adapter.settlements[:] = [as_one]
    await pair.deliver()
    await pair.shop.make_due()
    await pair.lane().settle()
    base, standing = await pair.reading.base(), await pair.reading.standing()
    assert (base.fields["company"], base.fields["first_name"]) == ("Looms", "Ada")
    assert base.synced_time == standing.synced_time


async def test_of_an_import_that_was_overtaken_nothing_is_known(pair: Pair) -> None:
    """The contact changed meanwhile: what was sent is not there any more."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Accepted("import-1", now())))
    pair.adapter.settlements[:] = [as_one]
    await pair.deliver()
    await pair.reading.edit(row.id, company="Mills")
    await pair.shop.make_due()
    await pair.lane().settle()
    base, standing = await pair.reading.base(), await pair.reading.standing()
    assert base.fields["company"] == "Engines"
    assert base.synced_time < standing.synced_time
    await pair.lane().deliver()
    assert (pair.told.first_name, pair.told.company) == ("Ada", "Mills")


async def test_a_mapping_s_names_are_those_that_are_agreed_on(pair: Pair) -> None:
    """Delivered, left out and cleared by the CRM's own names."""
    mapping = FieldMapping(
        (Rule("employer", source="properties.firm"), Rule("origin", constant="crmsync"))
    )
    config = replace(TWO_WAYS, mapping=mapping)
    pair.reading.mapping = mapping
    await pair.reading.absorb(ada(properties={"employer": "Engines", "origin": "crmsync"}))
    row = await pair.reading.contact()
    assert row.properties == {"firm": "Engines"}
    await pair.reading.edit(row.id, last_name="King")
    await pair.deliver(config)
    assert pair.told.last_name == "King"
    assert pair.told.properties == {"firm": "Engines"}
    await pair.reading.edit(row.id, properties={})
    await pair.deliver(config)
    assert pair.told.properties == {"employer": "", "firm": ""}
    assert pair.told.blank == {"employer", "firm"}


async def test_a_failure_writes_nothing_down(pair: Pair) -> None:
    """What was agreed on before still holds."""
    await pair.reading.absorb(ada())
    before = await pair.reading.base()
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Rejected("VALIDATION_ERROR", "no")))
    await pair.deliver()
    assert await pair.reading.base() == before
    await pair.deliver()
    assert (pair.told.first_name, pair.told.company) == ("", "Looms")


async def test_of_a_contact_that_is_deleted_while_it_is_delivered_only_the_record_is_known(
    pair: Pair,
) -> None:
    """So that no reading makes a new contact of what the delivery has made."""
    contact_id = await pair.reading.keep()

    async def deleting(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        await pair.reading.delete(contact_id)
        return await as_one(batch)

    pair.adapter.answers.insert(0, deleting)
    await pair.deliver()
    base = await pair.reading.base()
    assert (base.crm_contact_id, base.fields) == ("1", None)
    await pair.reading.absorb(ada())
    assert not await pair.reading.contacts()


async def test_what_was_put_back_in_the_second_of_our_delivery_is_a_change(pair: Pair) -> None:
    """By the CRM's whole seconds both happened at once, but what was before was before that."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Synced("1", modified_time=later(2))))
    await pair.deliver()
    taken = await pair.reading.absorb(ada(company="Looms", modified_time=later(2)))
    assert (taken.unchanged, taken.to_push) == (1, [])
    taken = await pair.reading.absorb(ada(modified_time=later(2)))
    assert taken.updated == 1
    assert (await pair.reading.contact()).company == "Engines"


async def test_what_was_put_back_in_the_second_of_somebody_s_change_is_one(pair: Pair) -> None:
    """It is what our delivery has brought, at an earlier time."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    pair.adapter.answers.insert(0, answering(lambda _: Synced("1", modified_time=later(2))))
    await pair.deliver()
    for company in ("Mills", "Looms"):
        await pair.reading.absorb(ada(company=company, modified_time=later(3)))
        assert (await pair.reading.contact()).company == company


async def test_of_deliveries_in_one_second_the_earlier_comes_back_as_nobody_s_change(
    pair: Pair,
) -> None:
    """Which of them a late index shows cannot be told by its time."""
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    for company in ("Looms", "Mills"):
        await pair.reading.edit(row.id, company=company)
        pair.adapter.answers.insert(0, answering(lambda _: Synced("1", modified_time=later(2))))
        await pair.deliver()
    taken = await pair.reading.absorb(ada(company="Looms", modified_time=later(2)))
    assert (taken.unchanged, taken.to_push) == (1, [])
    assert (await pair.reading.contact()).company == "Mills"
