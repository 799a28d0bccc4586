"""ApplyBatch and GetBulkHealth, through a real channel to simulated CRMs and back."""

import asyncio

import grpc
import pytest
import sqlalchemy as sa

from crmsync.v1 import bulk_record_pb2 as record_pb
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1 import contact_service_pb2, session_pb2
from crmsync.v1 import contact_sync_pb2 as standing_pb
from crmsync.v1.admin_service_pb2 import PauseCrmRequest
from crmsync.v1.bulk_record_pb2 import BulkRecord
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.sync_service_pb2 import GetContactSyncStatusRequest
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.accounts import good
from tests.service.bulks import (
    CREATE,
    DELETE,
    FAILED,
    PENDING,
    SKIPPED,
    SYNCED,
    UPDATE,
    UPSERT,
    apply,
    deletes,
    person,
    upserts,
)
from tests.service.calls import create, failure, finished, new_uuid


async def read(client: CrmsyncClient, contact_id: str) -> Contact:
    """Return a contact."""
    request = contact_service_pb2.GetContactRequest(contact_id=contact_id)
    return (await client.contacts.GetContact(request)).contact


async def standing(client: CrmsyncClient, contact_id: str) -> standing_pb.ContactSync:
    """Return how a contact stands at HubSpot."""
    request = GetContactSyncStatusRequest(contact_id=contact_id)
    return (await client.sync.GetContactSyncStatus(request)).contact_syncs["hubspot"]


async def total(client: CrmsyncClient) -> int:
    """Count the contacts."""
    request = contact_service_pb2.ListContactsRequest(page_size=1)
    return (await client.contacts.ListContacts(request)).total_size


def living(sandbox: Sandbox) -> set[str]:
    """Return whom the simulated HubSpot holds, by email."""
    return {one["email"] for one in sandbox.hubspot.contacts() if not one["archived"]}


async def test_a_batch_arrives_at_the_crm_before_its_answer(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """One result for each record, in order, with the id that the CRM gave."""
    answer = await apply(client, *upserts(3))
    assert [(one.index, one.status) for one in answer.results] == [(n, SYNCED) for n in range(3)]
    assert answer.session.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert answer.session.kind == session_pb2.SESSION_KIND_APPLY_BATCH
    assert answer.synced == 3
    held = {str(one["id"]): one["email"] for one in sandbox.hubspot.contacts()}
    assert held == {one.crm_contact_id: f"person{one.index}@example.com" for one in answer.results}
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_every_operation_finds_its_contact_by_any_key(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By its id, by its email, or by its record's id at the CRM."""
    made = (await apply(client, *upserts(4))).results
    answer = await apply(
        client,
        BulkRecord(operation=DELETE, crm_contact_id=made[0].crm_contact_id),
        BulkRecord(operation=UPDATE, contact_id=made[1].contact_id, contact=Contact(company="X")),
        BulkRecord(operation=UPDATE, email="PERSON2@example.com", contact=Contact(company="Y")),
        BulkRecord(operation=UPSERT, contact=person(3, company="Z")),
        BulkRecord(operation=CREATE, contact=person(4)),
    )
    assert [one.status for one in answer.results] == [SYNCED] * 5
    assert answer.results[0].crm_contact_id == made[0].crm_contact_id
    assert [(await read(client, one.contact_id)).company for one in answer.results] == [
        *("", "X", "Y", "Z", "")
    ]
    assert living(sandbox) == {f"person{number}@example.com" for number in range(1, 5)}


async def test_a_removed_record_is_unlinked_and_its_contact_stays(
    client: CrmsyncClient, database: Database
) -> None:
    """It is SELECTED afterwards, and the next delivery makes a new record."""
    (made,) = (await apply(client, *upserts(1))).results
    (gone,) = (await apply(client, *deletes(1))).results
    assert (gone.status, gone.crm_contact_id) == (SYNCED, made.crm_contact_id)
    told = await standing(client, made.contact_id)
    assert told.sync_status == standing_pb.SYNC_STATUS_SELECTED
    assert not told.crm_contact_id
    assert (await read(client, made.contact_id)).email == "person0@example.com"
    (again,) = (await apply(client, *upserts(1))).results
    assert again.crm_contact_id not in {"", made.crm_contact_id}
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_a_delete_deletes_the_contact_here_when_asked_to(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Here and at the CRM."""
    (made,) = (await apply(client, *upserts(1))).results
    record = BulkRecord(operation=DELETE, contact_id=made.contact_id, delete_contact=True)
    (gone,) = (await apply(client, record)).results
    assert gone.status == SYNCED
    assert not living(sandbox)
    request = contact_service_pb2.GetContactRequest(contact_id=made.contact_id)
    assert (await failure(client.contacts.GetContact(request))).reason == "CONTACT_NOT_FOUND"


async def test_a_record_that_cannot_be_taken_fails_alone(client: CrmsyncClient) -> None:
    """A known email, and contacts that nobody knows, beside one that is delivered."""
    known = await create(client, "ada@example.com")
    answer = await apply(
        client,
        BulkRecord(operation=CREATE, contact=Contact(email="ADA@example.com")),
        BulkRecord(operation=UPDATE, contact_id=new_uuid(), contact=Contact(company="X")),
        BulkRecord(operation=DELETE, email="nobody@example.com"),
        BulkRecord(operation=DELETE, crm_contact_id="404"),
        *upserts(1),
    )
    assert [(one.status, one.error.code) for one in answer.results] == [
        (FAILED, "EMAIL_TAKEN"),
        (FAILED, "CONTACT_NOT_FOUND"),
        (FAILED, "CONTACT_NOT_FOUND"),
        (FAILED, "CONTACT_NOT_FOUND"),
        (SYNCED, ""),
    ]
    assert answer.results[0].contact_id == known
    assert (answer.failed, answer.synced, answer.session.progress.total) == (4, 1, 1)


async def test_what_the_crm_refuses_has_failed_with_its_words(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The change here stays."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=1)
    (refused,) = (await apply(client, *upserts(1))).results
    assert (refused.status, refused.error.code) == (FAILED, "VALIDATION_ERROR")
    assert refused.error.message
    assert (await read(client, refused.contact_id)).first_name == "P0"


async def test_what_the_crm_has_already_is_skipped_unless_forced(client: CrmsyncClient) -> None:
    """With the reason."""
    await apply(client, *upserts(1))
    (again,) = (await apply(client, *upserts(1))).results
    assert (again.status, again.error.code) == (SKIPPED, "UNCHANGED")
    (forced,) = (await apply(client, *upserts(1), force=True)).results
    assert forced.status == SYNCED


async def test_what_does_not_end_in_time_is_pending_and_goes_on(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The answer comes within the deadline, with a session to follow; a repeat tells the rest."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.9)
    named = new_uuid()
    answer = await apply(client, *upserts(2), timeout=0.8, request_id=named)
    assert [one.status for one in answer.results] == [PENDING, PENDING]
    assert answer.session.state == session_pb2.SESSION_STATE_RUNNING
    ended = await finished(client, answer.session.id)
    assert ended.progress.synced == 2
    repeat = await apply(client, *upserts(2), request_id=named)
    assert repeat.session.id == answer.session.id
    assert [one.status for one in repeat.results] == [SYNCED, SYNCED]


async def test_the_same_request_id_applies_once(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Also when both calls run at once; with other records it is refused."""
    named = new_uuid()
    both = await asyncio.gather(
        *(apply(client, *upserts(2), request_id=named, force=True) for _ in range(2))
    )
    assert both[0].session.id == both[1].session.id
    assert {one["times_updated"] for one in sandbox.hubspot.contacts()} == {0}
    failed = await failure(apply(client, *upserts(3), request_id=named))
    assert failed.reason == "REQUEST_ID_REUSED"


async def test_duplicates_are_refused_with_both_places(client: CrmsyncClient) -> None:
    """By the same email, or by two keys of one contact; nothing is changed."""
    contact_id = await create(client, "ada@example.com")
    by_email = BulkRecord(operation=UPDATE, email="Ada@Example.com", contact=Contact(company="X"))
    by_id = BulkRecord(operation=DELETE, contact_id=contact_id)
    for records in ((by_email, *upserts(1), by_email), (by_email, *upserts(1), by_id)):
        failed = await failure(apply(client, *records))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_REQUEST",
        )
        assert "records[2]" in failed.message
        assert "records[0]" in failed.message
    assert await total(client) == 1
    assert (await read(client, contact_id)).company == ""


async def test_broken_rules_refuse_the_whole_batch(client: CrmsyncClient) -> None:
    """Each is named with the record's place, and nothing is changed."""
    failed = await failure(
        apply(
            client,
            *upserts(1),
            BulkRecord(operation=CREATE, contact=Contact(email="nobody")),
            BulkRecord(contact=person(7)),
        )
    )
    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "records[1].contact.email" in failed.message
    assert "records[2].operation" in failed.message
    assert await total(client) == 0


async def test_the_limits_of_a_batch(client: CrmsyncClient) -> None:
    """101 are RESOURCE_EXHAUSTED, none are INVALID_ARGUMENT."""
    failed = await failure(apply(client, *upserts(101)))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_ITEMS",
    )
    assert failed.metadata["limit"] == "100"
    assert (await failure(apply(client))).code == grpc.StatusCode.INVALID_ARGUMENT
    assert await total(client) == 0


async def test_a_mask_clears_what_it_names(client: CrmsyncClient) -> None:
    """Without one, what is empty stays."""
    (made,) = (await apply(client, *upserts(1, company="Engines", phone="+49301"))).results
    record = BulkRecord(operation=UPSERT, contact=person(0, first_name=""))
    await apply(client, record)
    assert (await read(client, made.contact_id)).company == "Engines"
    record.update_mask.paths.append("company")
    await apply(client, record)
    after = await read(client, made.contact_id)
    assert (after.company, after.phone, after.first_name) == ("", "+49301", "P0")


async def test_a_contact_without_an_email_fails_where_one_is_needed(client: CrmsyncClient) -> None:
    """A new one is not made, and a known one does not lose its email."""
    (made,) = (await apply(client, *upserts(1))).results
    loses = BulkRecord(operation=UPDATE, contact_id=made.contact_id, contact=Contact())
    loses.update_mask.paths.append("email")
    answer = await apply(client, BulkRecord(operation=CREATE, contact=Contact(phone="+1")), loses)
    assert [one.error.code for one in answer.results] == ["EMAIL_REQUIRED"] * 2
    assert await total(client) == 1


async def test_an_email_that_another_contact_has_is_not_taken_over(client: CrmsyncClient) -> None:
    """EMAIL_TAKEN names who has it; swapping needs two steps."""
    first, second = (await apply(client, *upserts(2))).results
    moves = BulkRecord(
        operation=UPDATE,
        contact_id=first.contact_id,
        contact=Contact(email="person1@example.com"),
    )
    (failed,) = (await apply(client, moves)).results
    assert (failed.error.code, failed.contact_id) == ("EMAIL_TAKEN", second.contact_id)


@pytest.mark.parametrize("operation", [UPDATE, UPSERT, DELETE])
async def test_an_email_that_moves_meanwhile_means_whoever_has_it_then(
    client: CrmsyncClient, database: Database, operation: record_pb.BulkOperation.ValueType
) -> None:
    """It is located again once the contact is locked, and who had it before is left alone."""
    first, second = (await apply(client, *upserts(2))).results
    record = BulkRecord(operation=operation, email="person0@example.com")
    if operation != DELETE:
        record.contact.CopyFrom(person(0, company="Changed"))
    async with database.org("default") as connection:
        for contact_id, number in ((first.contact_id, 7), (second.contact_id, 0)):
            await connection.execute(_MOVE, {"id": contact_id, "email": person(number).email})
        applying = asyncio.create_task(apply(client, record))
        await eventually(lambda: _somebody_waits(database))
    (result,) = (await applying).results
    assert result.contact_id == second.contact_id
    assert (await read(client, first.contact_id)).company == ""
    assert (await read(client, second.contact_id)).company == record.contact.company


_MOVE = sa.text(
    "UPDATE contacts SET email = :email, version = version + 1 WHERE id = CAST(:id AS uuid)"
)


async def _somebody_waits(database: Database) -> None:
    async with database.everyone() as connection:
        waiting = await connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    assert waiting


@pytest.mark.parametrize("state", ["40P01", "23505"], ids=["deadlocks", "emails taken"])
async def test_others_in_the_way_each_time_end_a_batch_as_aborted(
    client: CrmsyncClient, database: Database, state: str
) -> None:
    """Nothing is changed, and later it goes through."""
    async with database.everyone() as connection:
        await connection.execute(sa.text(_CROSSING.format(state=state)))
        await connection.execute(sa.text(_CROSSED))
    failed = await failure(apply(client, *upserts(2)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "CONTACTS_BUSY")
    assert failed.metadata["tries"] == "3"
    assert await total(client) == 0
    async with database.everyone() as connection:
        await connection.execute(sa.text("DROP TRIGGER crossed ON contacts"))
    assert (await apply(client, *upserts(2))).synced == 2


_CROSSING = """
CREATE FUNCTION crossed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'others are at the same contacts' USING ERRCODE = '{state}';
END
$$
"""
_CROSSED = (
    "CREATE TRIGGER crossed BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION crossed()"
)


async def test_a_batch_that_a_deadlock_has_ended_is_applied_again(
    client: CrmsyncClient, database: Database
) -> None:
    """The other one in it gets what it waited for only when Postgres has ended the batch."""
    ids = sorted([await create(client, "a@example.com"), await create(client, "b@example.com")])
    for company in ("One", "Two", "Three", "Four", "Five"):
        records = [
            BulkRecord(operation=UPDATE, contact_id=one, contact=Contact(company=company))
            for one in ids
        ]
        applying: asyncio.Task[pb.ApplyBatchResponse] | None = None
        try:
            async with database.everyone() as other:
                await other.execute(_HOLD, {"id": ids[1]})
                applying = asyncio.create_task(apply(client, *records))
                await eventually(lambda: _somebody_waits(database))
                await other.execute(_HOLD, {"id": ids[0]})
        except sa.exc.DBAPIError:
            # Postgres has ended this side of it instead, which was late.
            assert applying
            await applying
            continue
        assert (await applying).synced == len(ids)
        assert (await read(client, ids[0])).company == company
        return
    pytest.fail("Postgres never chose the batch")


_HOLD = sa.text("SELECT 1 FROM contacts WHERE id = CAST(:id AS uuid) FOR UPDATE")


async def test_a_crm_that_removes_nothing_says_so(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """FAILED_PRECONDITION before anything is changed."""
    await good(sandbox, "n8n").connect(client)
    failed = await failure(apply(client, *upserts(1, 1), *deletes(1), crm="n8n"))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOT_SUPPORTED",
    )
    assert await total(client) == 0


@pytest.mark.parametrize("crm", ["brevo", "mautic", "zoho"])
async def test_records_are_removed_at_every_crm_that_offers_it(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Made and removed, whether the CRM's id is its own or the address."""
    if crm != "brevo":
        await good(sandbox, crm).connect(client)
    made = await apply(client, *upserts(2), crm=crm)
    assert made.synced == 2, made
    gone = await apply(client, *deletes(1), crm=crm)
    assert gone.synced == 1, gone
    held = {one["email"] for one in getattr(sandbox, crm).contacts()}
    assert held == {"person1@example.com"}


async def test_health_tells_what_became_of_bulk_operations(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Healthy, then with a reason and the figure behind it."""
    request = pb.GetBulkHealthRequest()
    assert not (await client.bulk.GetBulkHealth(request)).health.crms
    await apply(client, *upserts(3))
    (told,) = (await client.bulk.GetBulkHealth(request)).health.crms
    assert (told.crm, told.status) == ("hubspot", record_pb.BULK_HEALTH_STATUS_HEALTHY)
    assert (told.recent_sessions, told.open_sessions, told.synced) == (1, 0, 3)
    assert told.success_rate == 1
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=1)
    await apply(client, *upserts(6, 10))
    (told,) = (await client.bulk.GetBulkHealth(pb.GetBulkHealthRequest(crm="hubspot"))).health.crms
    assert told.status == record_pb.BULK_HEALTH_STATUS_UNHEALTHY
    assert any("33.3%" in why for why in told.reasons)
    await client.admin.PauseCrm(PauseCrmRequest(crm="hubspot"))
    answer = await apply(client, *upserts(1, 20), timeout=0.5)
    health = (await client.bulk.GetBulkHealth(request)).health
    assert (health.crms[0].open_sessions, health.crms[0].pending) == (1, 1)
    assert health.crms[0].pause_code
    assert health.crms[0].HasField("queue_age")
    assert [one.status for one in answer.results] == [PENDING]
