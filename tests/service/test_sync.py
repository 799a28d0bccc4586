"""SyncService, through a real channel to simulated CRMs and back."""

import asyncio

import grpc
import pytest

from crmsync.v1 import contact_service_pb2, session_pb2
from crmsync.v1 import contact_sync_pb2 as standing
from crmsync.v1 import sync_service_pb2 as pb
from crmsync.v1.admin_service_pb2 import PauseCrmRequest, ResumeCrmRequest
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync_client import CrmsyncClient
from crmsync_server.crm.registry import known
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, import_many, new_uuid, queue_all

CRMS = ("hubspot", "brevo")


@pytest.mark.parametrize("crm", CRMS)
async def test_a_queued_contact_arrives_at_the_crm(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """From QueueContact to the CRM's own store, and COMPLETE only then."""
    contact_id = await create(client, "zoe+news@example.com", first_name="Zoë")
    request = pb.QueueContactRequest(
        contact_id=contact_id, crm=crm, priority=standing.PRIORITY_HIGH
    )
    queued = await client.sync.QueueContact(request)
    assert queued.contact_sync.sync_status == standing.SYNC_STATUS_QUEUED
    assert queued.contact_sync.processing_status == standing.PROCESSING_STATUS_QUEUED
    assert queued.contact_sync.HasField("estimated_processing_time")
    ended = await finished(client, queued.session.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (ended.progress.synced, ended.progress.total) == (1, 1)
    held = list((sandbox.hubspot if crm == "hubspot" else sandbox.brevo).contacts())
    assert [one["email"] for one in held] == ["zoe+news@example.com"]


async def test_the_status_names_every_crm_also_where_never_synced(client: CrmsyncClient) -> None:
    """A CRM that the contact was never sent to appears with unset statuses."""
    contact_id = await create(client)
    await finished(client, (await queue_all(client)).id)
    request = pb.GetContactSyncStatusRequest(contact_id=contact_id)
    answer = await client.sync.GetContactSyncStatus(request)
    assert set(answer.contact_syncs) == known()
    assert (answer.contact_id, answer.email) == (contact_id, "ada@example.com")
    assert answer.contact_syncs["hubspot"].sync_status == standing.SYNC_STATUS_COMPLETE
    assert answer.contact_syncs["hubspot"].crm_contact_id
    assert answer.contact_syncs["brevo"] == standing.ContactSync(contact_id=contact_id, crm="brevo")


async def test_an_unknown_contact_cannot_be_queued(client: CrmsyncClient) -> None:
    """NOT_FOUND, and no session is left behind."""
    request = pb.QueueContactRequest(contact_id=new_uuid(), crm="hubspot")
    failed = await failure(client.sync.QueueContact(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")
    stats = await client.sync.GetSyncStats(pb.GetSyncStatsRequest(crm="hubspot"))
    assert stats.stats.total_contacts == 0


async def test_a_contact_without_email_cannot_be_queued_where_one_is_needed(
    client: CrmsyncClient,
) -> None:
    """FAILED_PRECONDITION, naming the contact and the CRM."""
    contact_id = await create(client, "", phone="+4930901820")
    request = pb.QueueContactRequest(contact_id=contact_id, crm="brevo")
    failed = await failure(client.sync.QueueContact(request))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "EMAIL_REQUIRED",
    )
    assert dict(failed.metadata) == {"contact_id": contact_id, "crm": "brevo"}


async def test_an_unknown_crm_is_refused_with_the_known_ones(client: CrmsyncClient) -> None:
    """INVALID_ARGUMENT that says what would be right."""
    request = pb.QueueContactRequest(contact_id=await create(client), crm="salesforce")
    failed = await failure(client.sync.QueueContact(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_CRM")
    assert set(CRMS) <= set(failed.metadata["known"].replace(" ", "").split(","))


async def test_bulk_queueing_answers_every_id_in_its_place(client: CrmsyncClient) -> None:
    """Queued, without an email, unknown and repeated ids, side by side in one call."""
    good, mute = await create(client), await create(client, "", first_name="Mute")
    unknown = new_uuid()
    request = pb.BulkQueueContactsRequest(contact_ids=[good, mute, unknown, good], crm="hubspot")
    answer = await client.sync.BulkQueueContacts(request)
    assert [(one.contact_id, one.reason) for one in answer.results] == [
        (good, ""),
        (mute, "NO_EMAIL"),
        (unknown, "CONTACT_NOT_FOUND"),
        (good, "DUPLICATE"),
    ]
    assert (answer.queued, answer.skipped, answer.errors) == (1, 2, 1)
    assert (await finished(client, answer.session.id)).progress.synced == 1


async def test_more_than_ten_thousand_ids_queue_nothing(client: CrmsyncClient) -> None:
    """RESOURCE_EXHAUSTED with the limit."""
    ids = [new_uuid()] * 10_001
    request = pb.BulkQueueContactsRequest(contact_ids=ids, crm="hubspot")
    failed = await failure(client.sync.BulkQueueContacts(request))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_ITEMS",
    )
    assert failed.metadata["limit"] == "10000"


async def test_the_same_request_id_opens_one_session(client: CrmsyncClient) -> None:
    """Also when both calls run at once: the second answer is the first."""
    await create(client)
    request = pb.QueueAllContactsRequest(crm="hubspot", request_id=new_uuid())
    first, second = await asyncio.gather(
        client.sync.QueueAllContacts(request), client.sync.QueueAllContacts(request)
    )
    assert first == second


async def test_queue_all_keeps_to_its_filter(client: CrmsyncClient) -> None:
    """not_already_synced leaves out what the CRM has confirmed; domain_id all other domains."""
    await create(client, "old@example.com")
    await finished(client, (await queue_all(client)).id)
    domain = new_uuid()
    await create(client, "new@example.com", domain_id=domain)
    await create(client, "other@example.com")
    chosen = QueueFilter(not_already_synced=True, domain_id=domain, has_email=True)
    request = pb.QueueAllContactsRequest(crm="hubspot", filter=chosen)
    answer = await client.sync.QueueAllContacts(request)
    assert answer.queued_count == 1
    assert answer.HasField("estimated_completion_time")
    assert (await finished(client, answer.session.id)).progress.synced == 1


async def test_queueing_nobody_ends_at_once(client: CrmsyncClient) -> None:
    """A session without items has succeeded, and says 100 percent."""
    opened = await queue_all(client)
    assert opened.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (opened.progress.total, opened.progress.percentage) == (0, 100.0)


async def test_what_the_crm_already_holds_is_skipped_unless_forced(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Unchanged content costs no call; force makes one."""
    contact_id = await create(client)
    await finished(client, (await queue_all(client)).id)
    again = await finished(client, (await queue_all(client)).id)
    assert again.progress.skipped == 1
    request = pb.QueueContactRequest(contact_id=contact_id, crm="hubspot", force=True)
    forced = await client.sync.QueueContact(request)
    assert (await finished(client, forced.session.id)).progress.synced == 1
    (held,) = sandbox.hubspot.contacts()
    assert held["times_updated"] == 1


async def test_an_edit_is_delivered_by_the_next_queueing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Content that changed is no longer unchanged."""
    contact_id = await create(client, first_name="Ada")
    await finished(client, (await queue_all(client)).id)
    update = contact_service_pb2.UpdateContactRequest()
    update.contact.id, update.contact.first_name = contact_id, "Augusta"
    await client.contacts.UpdateContact(update)
    assert (await finished(client, (await queue_all(client)).id)).progress.synced == 1
    (held,) = sandbox.hubspot.contacts()
    assert held["properties"]["firstname"] == "Augusta"


async def test_a_rejected_contact_sinks_no_other_and_says_why(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """A tenth of 300 is refused; every other one arrives; the stats say the same."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=0.1)
    await import_many(client, 300)
    ended = await finished(client, (await queue_all(client)).id)
    assert 0 < ended.progress.errors < 100
    assert ended.progress.synced == len(list(sandbox.hubspot.contacts()))
    assert ended.progress.synced + ended.progress.errors == 300
    stats = (await client.sync.GetSyncStats(pb.GetSyncStatsRequest(crm="hubspot"))).stats
    assert (stats.synced, stats.errors) == (ended.progress.synced, ended.progress.errors)
    assert (stats.last_24h.synced, stats.last_24h.errors) == (stats.synced, stats.errors)
    assert stats.success_rate == pytest.approx(stats.synced / 300)
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_a_reply_lost_after_applying_ends_in_one_contact(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Unknown is tried again, and the CRM holds the contact once."""
    sandbox.hubspot.faults.script(ScriptedFault(kind="drop", applied=True, path="*/batch/upsert"))
    contact_id = await create(client)
    ended = await finished(client, (await queue_all(client)).id)
    assert ended.progress.synced == 1
    assert len(list(sandbox.hubspot.contacts())) == 1
    request = pb.GetContactSyncStatusRequest(contact_id=contact_id)
    found = (await client.sync.GetContactSyncStatus(request)).contact_syncs["hubspot"]
    assert found.attempt_count == 2
    assert not found.HasField("error")


async def test_a_deleted_contact_leaves_the_queue_as_skipped(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Deleted while it waits for its retry: nothing more is sent, and the session still ends."""
    locked = ScriptedFault(kind="status", status=423, path="*/batch/upsert")
    sandbox.hubspot.faults.script(locked)
    contact_id = await create(client)
    session = await queue_all(client)

    async def waits() -> None:
        request = pb.GetContactSyncStatusRequest(contact_id=contact_id)
        found = await client.sync.GetContactSyncStatus(request)
        assert found.contact_syncs["hubspot"].HasField("next_retry_time")

    await eventually(waits)
    request = contact_service_pb2.DeleteContactRequest(contact_id=contact_id)
    await client.contacts.DeleteContact(request)
    assert (await finished(client, session.id)).progress.skipped == 1
    assert not list(sandbox.hubspot.contacts())


async def test_queueing_again_resets_the_retries(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Whereas a retry may count on."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=1.0)
    contact_id = await create(client)
    await finished(client, (await queue_all(client)).id)
    await client.admin.PauseCrm(PauseCrmRequest(crm="hubspot"))
    retry = pb.RetryContactRequest(contact_id=contact_id, crm="hubspot")
    counted = (await client.sync.RetryContact(retry)).contact_sync
    assert counted.retry_count == 1
    queue = pb.QueueContactRequest(
        contact_id=contact_id, crm="hubspot", priority=standing.PRIORITY_HIGH
    )
    again = (await client.sync.QueueContact(queue)).contact_sync
    assert again.sync_status == standing.SYNC_STATUS_QUEUED
    assert (again.retry_count, again.HasField("next_retry_time")) == (0, False)


async def test_nothing_is_estimated_while_the_lane_is_paused(client: CrmsyncClient) -> None:
    """Nobody knows when it is resumed; afterwards it is told again."""
    contact_id = await create(client)
    await client.admin.PauseCrm(PauseCrmRequest(crm="hubspot"))
    queue = pb.QueueContactRequest(contact_id=contact_id, crm="hubspot")
    status = pb.GetContactSyncStatusRequest(contact_id=contact_id)
    told = [
        (await client.sync.QueueContact(queue)).contact_sync,
        (await client.sync.GetContactSyncStatus(status)).contact_syncs["hubspot"],
    ]
    assert not any(one.HasField("estimated_processing_time") for one in told)
    answer = await client.sync.QueueAllContacts(pb.QueueAllContactsRequest(crm="hubspot"))
    assert answer.queued_count == 1
    assert not answer.HasField("estimated_completion_time")
    await client.admin.ResumeCrm(ResumeCrmRequest(crm="hubspot"))
    again = (await client.sync.QueueContact(queue)).contact_sync
    assert again.HasField("estimated_processing_time")
