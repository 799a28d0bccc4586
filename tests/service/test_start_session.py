"""StartSession with PUSH, and what steers a session, through a real channel."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crmsync.v1 import (
    contact_pb2,
    contact_service_pb2,
    contact_sync_pb2,
    session_item_pb2,
    session_pb2,
    sync_service_pb2,
)
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, import_many, new_uuid, queue_all
from tests.service.starting import PUSH, changes, done, full, items, manual, start

SYNCED = session_item_pb2.SESSION_ITEM_OUTCOME_SYNCED
SKIPPED = session_item_pb2.SESSION_ITEM_OUTCOME_SKIPPED
ERROR = session_item_pb2.SESSION_ITEM_OUTCOME_ERROR


def slowly(sandbox: Sandbox) -> None:
    """Have HubSpot take its time for each call."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.3)


async def begun(client: CrmsyncClient, session_id: str) -> None:
    """Look whether anything of a session is being delivered."""
    one = (await items(client, session_id))[0].contact_id
    request = sync_service_pb2.GetContactSyncStatusRequest(contact_id=one)
    told = await client.sync.GetContactSyncStatus(request)
    standing = told.contact_syncs["hubspot"]
    assert standing.sync_status == contact_sync_pb2.SYNC_STATUS_PROCESSING


async def test_a_full_push_delivers_everybody_and_leaves_out_what_the_crm_has(
    client: CrmsyncClient,
) -> None:
    """The second time nothing is sent, and each item says so."""
    await import_many(client, 5)
    first = await done(client, full(direction=PUSH))
    assert first.kind == session_pb2.SESSION_KIND_FULL_SYNC
    assert (first.progress.total, first.progress.synced) == (5, 5)
    second = await done(client, full(direction=PUSH))
    assert (second.progress.skipped, second.progress.synced) == (5, 0)
    assert {(one.outcome, one.error.code) for one in await items(client, second.id)} == {
        (SKIPPED, "UNCHANGED")
    }


async def test_an_incremental_push_queues_only_what_has_changed(client: CrmsyncClient) -> None:
    """A contact that the CRM holds as it is is no item at all."""
    await import_many(client, 3)
    await done(client, full(direction=PUSH))
    new = await create(client, "new@example.com")
    session = await done(client, changes(direction=PUSH))
    assert [one.contact_id for one in await items(client, session.id)] == [new]


async def test_a_manual_push_lists_ids_that_do_not_exist_and_delivers_the_rest(
    client: CrmsyncClient,
) -> None:
    """Of contacts and of records alike."""
    known, unknown = await create(client), new_uuid()
    request = manual(known, unknown, direction=PUSH, crm_contact_ids=("404",))
    session = await done(client, request)
    found = {one.outcome: one for one in await items(client, session.id)}
    assert found[SYNCED].contact_id == known
    missing = [one for one in await items(client, session.id) if one.outcome == ERROR]
    assert [one.error.code for one in missing] == ["NOT_FOUND", "NOT_FOUND"]
    assert {(one.contact_id, one.crm_contact_id) for one in missing} == {(unknown, ""), ("", "404")}
    progress = session.progress
    assert (progress.total, progress.synced, progress.errors) == (3, 1, 2)


async def test_items_are_listed_in_pages_that_join_without_a_gap(client: CrmsyncClient) -> None:
    """However long a page is."""
    await import_many(client, 7)
    session = await done(client, full(direction=PUSH))
    whole = [one.contact_id for one in await items(client, session.id)]
    assert len(set(whole)) == 7
    assert [one.contact_id for one in await items(client, session.id, page_size=2)] == whole


async def test_items_are_listed_by_outcome(client: CrmsyncClient) -> None:
    """And an outcome that none has gives an empty list."""
    await import_many(client, 2)
    session = await done(client, full(direction=PUSH))
    request = pb.ListSessionItemsRequest(session_id=session.id, outcomes=[SYNCED])
    assert len((await client.sessions.ListSessionItems(request)).items) == 2
    request = pb.ListSessionItemsRequest(session_id=session.id, outcomes=[ERROR])
    assert not (await client.sessions.ListSessionItems(request)).items


async def test_a_second_full_session_is_refused_and_the_running_one_is_named(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Unless the caller wants both."""
    slowly(sandbox)
    await import_many(client, 2)
    running = await start(client, full(direction=PUSH))
    failed = await failure(client.sessions.StartSession(full(direction=PUSH)))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_ACTIVE",
    )
    assert failed.metadata["session_id"] == running.id
    both = full(direction=PUSH)
    both.allow_parallel = True
    assert (await done(client, both)).state == session_pb2.SESSION_STATE_SUCCEEDED
    await finished(client, running.id)
    assert (await done(client, full(direction=PUSH))).progress.skipped == 2


async def test_a_session_beside_others_is_in_the_way_of_one_that_wants_to_be_alone(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """It is active as well; a dry run is not meant."""
    slowly(sandbox)
    await import_many(client, 2)
    beside = full(direction=PUSH)
    beside.allow_parallel = True
    running = await start(client, beside)
    failed = await failure(client.sessions.StartSession(full(direction=PUSH)))
    assert (failed.reason, failed.metadata["session_id"]) == ("SESSION_ACTIVE", running.id)
    planning = full(direction=PUSH)
    planning.dry_run = True
    await start(client, planning)
    await finished(client, running.id)


@pytest.mark.parametrize(
    "since", [Timestamp(seconds=10**14), Timestamp(seconds=1, nanos=-5), Timestamp(seconds=-1)]
)
async def test_a_time_that_is_none_is_refused(client: CrmsyncClient, since: Timestamp) -> None:
    """By the name of its field."""
    request = changes(direction=PUSH)
    request.incremental.since.CopyFrom(since)
    failed = await failure(client.sessions.StartSession(request))
    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [one.field for one in failed.violations] == ["incremental.since"]


async def test_the_same_request_id_starts_one_session(client: CrmsyncClient) -> None:
    """A repeat gets the first answer."""
    request = full(direction=PUSH)
    request.request_id = new_uuid()
    assert (await start(client, request)).id == (await start(client, request)).id


async def test_a_start_that_asks_for_nothing_or_contradicts_itself_is_told_what_is_wrong(
    client: CrmsyncClient,
) -> None:
    """Every violation at once, and nothing is opened."""
    for request, field in (
        (manual(), "manual"),
        (pb.StartSessionRequest(crm="hubspot"), "scope"),
        (
            pb.StartSessionRequest(
                crm="hubspot", apply=pb.ApplyPlan(session_id=new_uuid()), dry_run=True
            ),
            "dry_run",
        ),
    ):
        failed = await failure(client.sessions.StartSession(request))
        assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
        assert [one.field for one in failed.violations] == [field]
    failed = await failure(client.sessions.StartSession(full("nowhere", PUSH)))
    assert failed.reason == "UNKNOWN_CRM"
    listed = await client.sessions.ListSessions(pb.ListSessionsRequest())
    assert not listed.sessions


async def test_a_paused_session_delivers_nothing_more_until_it_is_resumed(
    client: CrmsyncClient, sandbox: Sandbox, settings: Settings
) -> None:
    """What was under way ends; what comes back to the queue waits as well."""
    await import_many(client, 3)
    fault = ScriptedFault(kind="status", status=500, times=1, delay_seconds=0.5)
    sandbox.hubspot.faults.script(fault)
    session = await start(client, full(direction=PUSH))
    await eventually(lambda: begun(client, session.id))
    paused = await client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id))
    assert paused.session.state == session_pb2.SESSION_STATE_PAUSED
    assert not list(sandbox.hubspot.contacts())
    resumed = await client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session.id))
    assert resumed.session.state == session_pb2.SESSION_STATE_RUNNING
    ended = await finished(client, session.id)
    assert (ended.state, ended.progress.synced) == (session_pb2.SESSION_STATE_SUCCEEDED, 3)
    database = Database(settings.database_url.get_secret_value() if settings.database_url else "")
    async with database.everyone() as connection:
        assert not await violations(connection)
    await database.close()


async def test_what_another_session_wants_is_delivered_although_one_is_paused(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And then it is done for the paused one too."""
    await import_many(client, 2)
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.2)
    session = await start(client, full(direction=PUSH))
    await client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id))
    other = await finished(client, (await queue_all(client)).id)
    assert other.progress.synced + other.progress.skipped == 2


async def test_what_has_ended_is_neither_paused_nor_resumed(client: CrmsyncClient) -> None:
    """FAILED_PRECONDITION, with the state it is in."""
    session = await done(client, full(direction=PUSH))
    for call in (
        client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id)),
        client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session.id)),
    ):
        failed = await failure(call)
        assert (failed.reason, failed.metadata["state"]) == ("SESSION_ENDED", "SUCCEEDED")


async def test_a_dry_run_of_a_push_says_what_would_be_delivered_and_delivers_nothing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And its plan can be applied, once, as long as nothing has changed."""
    await import_many(client, 3)
    request = full(direction=PUSH)
    request.dry_run = True
    planned = await done(client, request)
    assert planned.dry_run
    assert (planned.plan.records_created, planned.plan.calls_needed) == (3, 1)
    assert not list(sandbox.hubspot.contacts())
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    assert (await done(client, apply)).progress.synced == 3
    failed = await failure(client.sessions.StartSession(apply))
    assert (failed.reason, failed.metadata["why"]) == ("PLAN_NOT_READY", "APPLIED")


async def test_a_plan_is_not_applied_to_contacts_that_have_changed_since(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """It fails, says which, and nothing is delivered."""
    contact_id = await create(client)
    request = full(direction=PUSH)
    request.dry_run = True
    planned = await done(client, request)
    edit = contact_pb2.Contact(id=contact_id, first_name="Augusta")
    await client.contacts.UpdateContact(contact_service_pb2.UpdateContactRequest(contact=edit))
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    failed = await done(client, apply)
    assert failed.state == session_pb2.SESSION_STATE_FAILED
    assert failed.error.code == "PLAN_DRIFTED"
    assert contact_id in failed.error.message
    assert not list(sandbox.hubspot.contacts())


async def test_validating_a_session_finds_what_is_wrong_and_writes_nothing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Every check has its finding."""
    told = await client.sessions.ValidateSession(pb.ValidateSessionRequest(crm="hubspot"))
    assert told.valid
    assert {one.name for one in told.checks} == {
        "configuration",
        "credentials",
        "permissions",
        "fields",
        "mapping",
        "quota",
        "active_session",
    }
    assert all(one.finding for one in told.checks)
    assert sandbox.hubspot.calls.as_json()["writes"] == 0
    off = await client.sessions.ValidateSession(pb.ValidateSessionRequest(crm="mautic"))
    assert not off.valid
    assert off.checks[0].result == pb.SESSION_CHECK_RESULT_FAILED
