"""Records that are taken in: which contact each belongs to, and what is written of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.crm.source import Record
from crmsync_server.crm.transforms import Date, Lower
from crmsync_server.store.content import Content, content_hash
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.merging import DeletionPolicy, MergePolicy, Merging
from crmsync_server.store.states import Direction
from crmsync_server.sync.absorb import as_found
from tests.store import people
from tests.store.people import ORG
from tests.store.records import ADA, Reading, ada, later

LONG = "x" * 201


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    """Read into the test's database, and check its promises at the end."""
    reading = Reading(database)
    yield reading
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_a_record_without_a_contact_makes_one(reading: Reading) -> None:
    """Linked, and complete: both say the same."""
    taken = await reading.absorb(ada(tags=("a", "b", "a"), properties={"plan": "gold", "x": ""}))
    assert (taken.created, taken.to_push) == (1, [])
    row, standing = await reading.contact(), await reading.standing()
    content = Content.of(row)
    assert content == ADA._replace(tags=("a", "b"), properties={"plan": "gold"})
    assert (standing.sync_status, standing.crm_contact_id) == ("COMPLETE", "1")
    assert standing.synced_hash == content_hash(content)
    assert (await reading.base()).synced_time == standing.synced_time is not None


async def test_a_record_that_brings_nothing_new_writes_nothing(reading: Reading) -> None:
    """However often it is read."""
    await reading.absorb(ada(tags=("a",), properties={"plan": "gold"}))
    before = (await reading.contact(), await reading.standing(), await reading.base())
    taken = await reading.absorb(ada(tags=["a"], properties={"plan": "gold"}))
    assert taken.unchanged == 1
    assert (await reading.contact(), await reading.standing(), await reading.base()) == before


async def test_what_only_the_crm_changed_changes_here(reading: Reading) -> None:
    """And nothing is left to deliver."""
    await reading.absorb(ada())
    taken = await reading.absorb(ada(company="Looms", modified_time=later(2)))
    assert (taken.updated, taken.to_push) == (1, [])
    row, standing = await reading.contact(), await reading.standing()
    assert (row.company, row.version) == ("Looms", 2)
    assert (standing.sync_status, standing.synced_hash) == ("COMPLETE", row.content_hash)


@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.PULL])
async def test_what_only_we_changed_is_to_be_delivered(
    reading: Reading, direction: Direction
) -> None:
    """It is named with BOTH alone; the CRM is not taken to have it with either."""
    reading.direction = direction
    await reading.absorb(ada())
    row = await reading.contact()
    await reading.edit(row.id, company="Looms")
    taken = await reading.absorb(ada())
    assert (taken.unchanged, len(taken.to_push)) == (1, int(direction is Direction.BOTH))
    standing = await reading.standing()
    assert (standing.sync_status, standing.synced_hash) == ("SELECTED", b"")
    # Once that is known there is nothing more to write.
    before = (standing, await reading.base())
    await reading.absorb(ada())
    assert (await reading.standing(), await reading.base()) == before


async def test_a_contact_with_the_record_s_email_is_linked(reading: Reading) -> None:
    """In whatever case it is written; what one side lacks it gets from the other."""
    await reading.keep(ADA._replace(email="Ada@Example.com", phone="+302101234567", company=""))
    taken = await reading.absorb(ada(email="ada@example.COM"))
    row, standing = await reading.contact(), await reading.standing()
    assert (taken.updated, taken.to_push) == (1, [row.id])
    assert (row.email, row.company) == ("Ada@Example.com", "Engines")
    assert (standing.sync_status, standing.crm_contact_id) == ("SELECTED", "1")


async def test_a_contact_that_says_the_same_is_complete(reading: Reading) -> None:
    """Though nothing was ever delivered."""
    await reading.keep(ADA._replace(company=" Engines "))
    taken = await reading.absorb(ada(company="Engines"))
    standing = await reading.standing()
    assert (taken.unchanged, standing.sync_status, standing.attempt) == (1, "COMPLETE", 0)


async def test_a_contact_of_another_record_stays_its_own(reading: Reading) -> None:
    """The second record with its email is told."""
    await reading.open()
    await reading.absorb(ada())
    taken = await reading.absorb(ada("2"))
    assert taken.skipped == 1
    [row] = await reading.rows("SELECT * FROM session_records WHERE key = '2'")
    assert (row.action, row.error_code) == ("SKIPPED", "DUPLICATE_AT_CRM")
    assert "records 1 and 2" in row.error_message


async def test_of_two_records_with_one_email_the_first_gets_the_contact(reading: Reading) -> None:
    """By their ids, in whatever order they come."""
    await reading.open()
    taken = await reading.absorb(ada("10"), ada("9"))
    assert (taken.created, taken.skipped) == (1, 1)
    assert await reading.notes() == {
        "9": ("CREATED", None),
        "10": ("SKIPPED", "DUPLICATE_AT_CRM"),
    }


async def test_of_two_readings_of_a_record_the_newest_counts(reading: Reading) -> None:
    """By the CRM's clock."""
    newest = ada(company="Looms", modified_time=later(2))
    taken = await reading.absorb(newest, ada())
    assert taken.created == 1
    assert (await reading.contact()).company == "Looms"


async def test_a_record_older_than_what_was_agreed_on_brings_nothing(reading: Reading) -> None:
    """The CRM's index lags."""
    await reading.absorb(ada(company="Looms", modified_time=later(2)))
    taken = await reading.absorb(ada(modified_time=later(1)))
    assert taken.unchanged == 1
    assert (await reading.contact()).company == "Looms"


async def test_nobody_is_made_of_a_record_that_names_nobody(reading: Reading) -> None:
    """Neither email nor phone."""
    await reading.open()
    await reading.absorb(Record("1", first_name="Ada"), Record("2", phone="+302101234567"))
    assert await reading.notes() == {"1": ("SKIPPED", "NO_IDENTITY"), "2": ("CREATED", None)}


async def test_no_contact_is_made_where_none_is_wanted(reading: Reading) -> None:
    """But known ones are merged."""
    reading.merging = Merging(create_contacts=False)
    await reading.open()
    await reading.keep()
    await reading.absorb(ada(), ada("2", email="bob@example.com"))
    assert await reading.notes() == {"1": ("UNCHANGED", None), "2": ("SKIPPED", "NO_CONTACT")}


async def test_a_deleted_contact_is_not_made_again(reading: Reading) -> None:
    """Its record is still known for what it is."""
    await reading.absorb(ada())
    await reading.delete((await reading.contact()).id)
    await reading.open()
    await reading.absorb(ada())
    assert await reading.notes() == {"1": ("SKIPPED", "CONTACT_DELETED")}
    assert not await reading.contacts()


async def test_a_new_contact_with_its_email_gets_the_record_of_a_deleted_one(
    reading: Reading,
) -> None:
    """Somebody made it here, so it is wanted."""
    await reading.absorb(ada())
    await reading.delete((await reading.contact()).id)
    contact_id = await reading.keep()
    await reading.absorb(ada())
    base = await reading.base()
    assert (base.contact_id, base.crm_contact_id) == (contact_id, "1")


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"email": "nobody"}, "email: must be a valid email address"),
        ({"company": LONG}, "company: must be at most 200 characters"),
        ({"first_name": "A\0"}, "first_name: must not hold a NUL character"),
        ({"properties": {"plan": "\ud800"}}, "properties['plan']: must be text"),
        ({"tags": ["x" * 65]}, "tags[0]: must be at most 64 characters"),
    ],
)
async def test_a_record_that_breaks_a_rule_is_told_as_an_error(
    reading: Reading, told: dict[str, Any], fault: str
) -> None:
    """With the field and the reason; the others of its batch are taken in."""
    await reading.open()
    taken = await reading.absorb(ada(**told), ada("2", email="bob@example.com"))
    assert (taken.errors, taken.created) == (1, 1)
    [row] = await reading.rows("SELECT * FROM session_records WHERE action = 'ERROR'")
    assert row.error_code == "INVALID_RECORD"
    assert f"record 1: {fault}" in row.error_message


@pytest.mark.parametrize("policy", [MergePolicy.OURS_WINS, MergePolicy.MANUAL])
@pytest.mark.parametrize("text", ["B\0C", "B\ud800"])
async def test_a_value_that_no_database_keeps_is_told_as_an_error_whoever_wins(
    reading: Reading, policy: MergePolicy, text: str
) -> None:
    """It would be part of what was seen of the CRM, or of a conflict; the others are taken in."""
    reading.merging = Merging(policy=policy)
    await reading.absorb(ada())
    await reading.edit((await reading.contact()).id, company="Mine")
    await reading.open()
    bad = ada(company=text, modified_time=later(3))
    taken = await reading.absorb(bad, ada("2", email="bob@example.com"))
    assert (taken.errors, taken.created, taken.conflicts) == (1, 1, 0)
    assert await reading.notes() == {"1": ("ERROR", "INVALID_RECORD"), "2": ("CREATED", None)}


async def test_a_broken_value_that_does_not_win_is_nobody_s_error(reading: Reading) -> None:
    """What is not taken over need not fit."""
    reading.merging = Merging(policy=MergePolicy.OURS_WINS)
    await reading.keep()
    taken = await reading.absorb(ada(company=LONG))
    assert (taken.unchanged, taken.errors) == (1, 0)


async def test_an_email_of_another_contact_is_not_taken(reading: Reading) -> None:
    """Nothing of the record is then."""
    await reading.keep(Content("bob@example.com"))
    await reading.absorb(ada())
    await reading.open()
    taken = await reading.absorb(
        ada(email="bob@example.com", company="Looms", modified_time=later(2))
    )
    assert taken.errors == 1
    assert await reading.notes() == {"1": ("ERROR", "EMAIL_TAKEN")}
    companies = {row.email: row.company for row in await reading.contacts()}
    assert companies == {"ada@example.com": "Engines", "bob@example.com": ""}


async def test_one_email_for_two_contacts_goes_to_the_first(reading: Reading) -> None:
    """Both were given it at the CRM at once."""
    await reading.absorb(ada(), ada("2", email="bob@example.com"))
    taken = await reading.absorb(
        ada(email="new@example.com", modified_time=later(2)),
        ada("2", email="new@example.com", modified_time=later(2)),
    )
    assert (taken.updated, taken.errors) == (1, 1)
    emails = [row.email for row in await reading.contacts()]
    assert emails == ["bob@example.com", "new@example.com"]


async def test_what_is_not_told_is_left_alone(reading: Reading) -> None:
    """That is not the same as telling that it is empty."""
    await reading.absorb(ada(phone="+302101234567", properties={"plan": "gold"}))
    taken = await reading.absorb(ada(phone=None, company=""))
    assert taken.updated == 1
    row = await reading.contact()
    assert (row.phone, row.company, row.properties) == ("+302101234567", "", {"plan": "gold"})
    assert taken.to_push == []


async def test_an_email_that_the_crm_does_not_have_stays(reading: Reading) -> None:
    """It names the contact."""
    await reading.absorb(ada())
    taken = await reading.absorb(ada(email="", company="Looms", modified_time=later(2)))
    assert taken.updated == 1
    assert (await reading.contact()).email == "ada@example.com"


async def test_a_conflict_is_opened_follows_and_is_settled(reading: Reading) -> None:
    """One row for the contact; other fields go on."""
    reading.merging = Merging(policy=MergePolicy.MANUAL)
    await reading.absorb(ada())
    await reading.open()
    row = await reading.contact()
    await reading.edit(row.id, company="Looms")
    taken = await reading.absorb(ada(company="Mills", last_name="King", modified_time=later(2)))
    [opened] = await reading.rows("SELECT * FROM conflicts")
    assert (taken.conflicts, taken.conflict_ids, taken.to_push) == (1, [opened.id], [])
    assert opened.fields == [
        {"field": "company", "base": "Engines", "ours": "Looms", "theirs": "Mills"}
    ]
    row = await reading.contact()
    assert (row.company, row.last_name) == ("Looms", "King")
    assert (await reading.base()).conflicted == ["company"]

    again = ada(company="Mines", last_name="King", modified_time=later(3))
    taken = await reading.absorb(again)
    [followed] = await reading.rows("SELECT * FROM conflicts")
    assert (taken.conflict_ids, followed.fields[0]["theirs"]) == ([opened.id], "Mines")

    await reading.edit(row.id, company="Mines")
    await reading.absorb(again)
    [settled] = await reading.rows("SELECT * FROM conflicts")
    assert (settled.id, settled.state) == (opened.id, "SETTLED")
    assert (await reading.standing()).sync_status == "COMPLETE"


async def test_a_conflict_that_stays_as_it_is_is_not_told_again(reading: Reading) -> None:
    """But its record counts as one in conflict."""
    reading.merging = Merging(policy=MergePolicy.MANUAL)
    await reading.keep(ADA._replace(company="Looms"))
    first = await reading.absorb(ada())
    again = await reading.absorb(ada())
    assert (len(first.conflict_ids), again.conflicts, again.conflict_ids) == (1, 1, [])


async def test_deleting_a_contact_settles_its_conflict(reading: Reading) -> None:
    """There is nothing left to decide."""
    reading.merging = Merging(policy=MergePolicy.MANUAL)
    await reading.keep(ADA._replace(company="Looms"))
    await reading.absorb(ada())
    await reading.delete((await reading.contact()).id)
    [row] = await reading.rows("SELECT state FROM conflicts")
    assert row.state == "SETTLED"


@pytest.mark.parametrize("survivor_comes_along", [True, False])
async def test_a_merged_record_s_contact_goes_to_the_survivor(
    reading: Reading, *, survivor_comes_along: bool
) -> None:
    """Which nobody had."""
    await reading.absorb(ada())
    contact_id = (await reading.contact()).id
    survivor = ada("7", modified_time=later(2))
    batch = as_found({"1": survivor}) if survivor_comes_along else [Record("1", merged_into="7")]
    await reading.absorb(*batch)
    base, standing = await reading.base(), await reading.standing()
    assert (base.contact_id, base.crm_contact_id) == (contact_id, "7")
    assert standing.crm_contact_id == "7"
    assert standing.sync_status == ("COMPLETE" if survivor_comes_along else "SELECTED")
    assert len(await reading.contacts()) == 1


async def test_a_merged_record_is_gone_where_the_survivor_has_a_contact(reading: Reading) -> None:
    """Each of the two had its own."""
    await reading.absorb(ada(), ada("7", email="bob@example.com"))
    await reading.open()
    await reading.absorb(Record("1", deleted=True, merged_into="7"))
    assert await reading.notes() == {"1": (None, None)}
    await reading.sweep("1")
    assert await reading.notes() == {"1": ("DELETED", None)}
    assert (await reading.base()).crm_contact_id == "7"


async def test_a_contact_whose_record_is_gone_takes_the_next_with_its_email(
    reading: Reading,
) -> None:
    """Somebody deleted a record at the CRM and made it anew."""
    await reading.absorb(ada())
    await reading.open()
    await reading.absorb(Record("1", deleted=True), ada("2"))
    assert (await reading.base()).crm_contact_id == "2"
    await reading.sweep("1")
    assert await reading.notes() == {"1": ("UNCHANGED", None), "2": ("UNCHANGED", None)}


async def test_a_gone_record_s_contact_is_unlinked(reading: Reading) -> None:
    """And its next delivery makes a new record."""
    await reading.absorb(ada())
    taken = await reading.sweep("1", "unknown")
    assert (taken.deleted, taken.unchanged) == (1, 1)
    standing = await reading.standing()
    assert (standing.sync_status, standing.crm_contact_id) == ("SELECTED", None)
    assert (standing.synced_hash, standing.synced_time) == (None, None)
    assert not await reading.rows("SELECT * FROM sync_bases")
    assert len(await reading.contacts()) == 1


async def test_a_gone_record_s_contact_is_deleted_where_that_is_the_policy(
    reading: Reading,
) -> None:
    """Its deliveries to other CRMs end as those of any deleted contact."""
    reading.merging = Merging(deletion_policy=DeletionPolicy.DELETE)
    await reading.absorb(ada())
    row = await reading.contact()
    async with reading.database.org(ORG) as connection:
        await people.enqueue(connection, [row.id], people.order("brevo"))
    assert (await reading.sweep("1")).deleted == 1
    assert not await reading.contacts()
    rows = await reading.rows("SELECT wanted_version FROM contact_syncs WHERE crm = 'brevo'")
    assert [one.wanted_version for one in rows] == [2]
    assert not await reading.rows("SELECT * FROM sync_bases")


async def test_a_gone_record_s_contact_stays_where_that_is_the_policy(reading: Reading) -> None:
    """It is told each time."""
    reading.merging = Merging(deletion_policy=DeletionPolicy.IGNORE)
    await reading.absorb(ada())
    await reading.open()
    before = (await reading.standing(), await reading.base())
    assert (await reading.sweep("1")).skipped == 1
    assert await reading.notes() == {"1": ("SKIPPED", "GONE_AT_CRM")}
    assert (await reading.standing(), await reading.base()) == before


async def test_a_record_counts_once_with_what_tells_most(reading: Reading) -> None:
    """However often it is read in a session."""
    await reading.open()
    assert (await reading.absorb(ada())).created == 1
    again = await reading.absorb(ada(company="Looms", modified_time=later(2)))
    assert (again.created, again.updated) == (0, 0)
    gone = await reading.absorb(Record("1", deleted=True))
    assert (gone.created, gone.deleted) == (-1, 0)
    assert (await reading.sweep("1")).deleted == 1
    [row] = await reading.rows("SELECT * FROM sessions WHERE id = :id", id=reading.session_id)
    assert (row.pulled_created, row.pulled_deleted) == (0, 1)


async def test_a_record_that_seemed_gone_and_is_read_is_there(reading: Reading) -> None:
    """It was only not brought."""
    await reading.absorb(ada())
    await reading.open()
    await reading.absorb(Record("1", deleted=True))
    assert (await reading.absorb(ada())).unchanged == 1
    assert await reading.notes() == {"1": ("UNCHANGED", None)}


async def test_a_dry_run_writes_nothing_but_what_it_would_do(reading: Reading) -> None:
    """With what it was decided by."""
    await reading.absorb(ada())
    row, standing = await reading.contact(), await reading.standing()
    await reading.open()
    changed = ada(company="Looms", modified_time=later(2))
    new = ada("2", email="bob@example.com")
    taken = await reading.absorb(changed, new, dry_run=True)
    assert (taken.updated, taken.created) == (1, 1)
    assert (await reading.contact(), await reading.standing()) == (row, standing)
    *noted, foreseen = await reading.rows("SELECT * FROM session_records ORDER BY direction, key")
    assert (foreseen.direction, foreseen.action, foreseen.contact_id) == (
        *("PUSH", "UNCHANGED"),
        row.id,
    )
    assert [(one.contact_id, one.contact_version) for one in noted] == [(row.id, 1), (None, None)]
    assert all(len(one.fingerprint) == 16 for one in noted)
    [field] = noted[0].fields
    assert field == {
        "field": "company",
        "base": "Engines",
        "ours": "Engines",
        "theirs": "Looms",
        "result": "Looms",
    }
    assert {one["field"] for one in noted[1].fields} >= {"email", "first_name", "company"}


async def test_what_waits_in_the_queue_stays_there(reading: Reading) -> None:
    """And is found unchanged when its turn comes, as the CRM has it."""
    contact_id = await reading.keep()
    async with reading.database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
    await reading.absorb(ada())
    assert (await reading.standing()).sync_status == "QUEUED"
    async with reading.database.org(ORG) as connection:
        [claimed] = await people.claim(connection)
    assert (claimed.unchanged, claimed.crm_contact_id) == (True, "1")


async def test_what_is_under_way_is_delivered_again_if_it_changes(reading: Reading) -> None:
    """It stays under way until then."""
    contact_id = await reading.keep()
    async with reading.database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
    async with reading.database.org(ORG) as connection:
        await people.claim(connection)
    await reading.absorb(ada(phone="+302101234567"))
    standing = await reading.standing()
    assert standing.sync_status == "PROCESSING"
    assert standing.wanted_version > standing.claimed_version


async def test_an_error_is_over_once_both_say_the_same(reading: Reading) -> None:
    """Somebody put it right at the CRM."""
    contact_id = await reading.keep()
    await reading.rows(
        "INSERT INTO contact_syncs (org_id, contact_id, crm, sync_status, processing_status,"
        " error_code) VALUES (:org, :id, 'hubspot', 'ERROR', 'ERROR', 'VALIDATION_ERROR')",
        org=ORG,
        id=contact_id,
    )
    await reading.rows(
        "INSERT INTO sync_counts (org_id, crm, slot, error) VALUES (:org, 'hubspot', 0, 1)", org=ORG
    )
    await reading.absorb(ada())
    standing = await reading.standing()
    assert (standing.sync_status, standing.error_code) == ("COMPLETE", None)


async def test_a_mapping_is_read_backwards(reading: Reading) -> None:
    """By its names and formats; what it makes by itself is never read."""
    reading.mapping = FieldMapping(
        (
            Rule("company", source="properties.employer"),
            Rule("birth", source="properties.born", transforms=(Date("%d/%m/%Y", "%Y-%m-%d"),)),
            Rule("source", constant="crmsync"),
            Rule("last_name", source="last_name", transforms=(Lower(),)),
        )
    )
    properties = {"birth": "1815-12-10", "source": "crmsync", "plan": "gold"}
    taken = await reading.absorb(ada(properties=properties))
    row = await reading.contact()
    assert (taken.created, taken.to_push) == (1, [])
    assert (row.company, row.last_name) == ("", "Lovelace")
    assert row.properties == {"employer": "Engines", "born": "10/12/1815", "plan": "gold"}
    # Another spelling than the mapping's is no reason to deliver.
    assert (await reading.standing()).sync_status == "COMPLETE"
    changed = ada(
        company="Looms",
        last_name="King",
        properties=properties | {"source": "somebody"},
        modified_time=later(2),
    )
    taken = await reading.absorb(changed)
    row = await reading.contact()
    assert (row.properties["employer"], row.last_name) == ("Looms", "King")
    assert "source" not in row.properties
    assert (taken.updated, taken.to_push) == (1, [])


async def test_what_a_mapping_adds_is_to_be_delivered_where_the_crm_lacks_it(
    reading: Reading,
) -> None:
    """A constant that the record does not have."""
    reading.mapping = FieldMapping((Rule("source", constant="crmsync"),))
    taken = await reading.absorb(ada())
    assert (taken.created, len(taken.to_push)) == (1, 1)


async def test_an_id_that_cannot_be_kept_is_refused(reading: Reading) -> None:
    """Rather than being kept as another."""
    with pytest.raises(ValueError, match="cannot be kept"):
        await reading.absorb(ada("1\0"))
