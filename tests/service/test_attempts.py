"""SyncService.ListAttempts, through a real channel: the whole story of one contact."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
import sqlalchemy as sa

from crmsync.v1 import attempt_pb2, contact_service_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as sessions
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, new_uuid, queue_all


async def story(client: CrmsyncClient, contact_id: str, **more: object) -> pb.ListAttemptsResponse:
    """Read a page of a contact's story."""
    request = pb.ListAttemptsRequest(contact_id=contact_id, **more)  # type: ignore[arg-type]  # fields by name
    return await client.sync.ListAttempts(request)


def told(page: pb.ListAttemptsResponse) -> list[tuple[str, str | None]]:
    """Show the CRM and the kind of every entry."""
    return [(event.crm, event.WhichOneof("event")) for event in page.events]


async def test_a_story_tells_who_queued_it_and_what_every_attempt_ended_in(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """At every CRM, newest first, with the vendor's words and its correlation id."""
    contact_id = await create(client)
    refused = ScriptedFault(kind="status", status=500, path="*/batch/upsert")
    sandbox.hubspot.faults.script(refused)
    first = await queue_all(client, "hubspot")
    await finished(client, first.id)
    second = await queue_all(client, "brevo")
    await finished(client, second.id)
    page = await story(client, contact_id)
    assert told(page) == [
        ("brevo", "attempt"),
        ("brevo", "queued"),
        ("hubspot", "attempt"),
        ("hubspot", "attempt"),
        ("hubspot", "queued"),
    ]
    synced, failed, queued = (event for event in page.events if event.crm == "hubspot")
    assert queued.queued.session_id == first.id
    assert queued.queued.creator
    assert queued.queued.kind == session_pb2.SESSION_KIND_QUEUE_ALL_CONTACTS
    assert failed.attempt.outcome == attempt_pb2.ATTEMPT_OUTCOME_RETRY
    assert failed.attempt.error.code
    assert failed.attempt.error.message
    assert failed.attempt.request_id == failed.attempt.error.request_id != ""
    assert failed.attempt.next_retry_time.ToDatetime() > failed.attempt.start_time.ToDatetime()
    assert failed.attempt.end_time == failed.event_time
    assert (failed.attempt.number, synced.attempt.number) == (1, 2)
    assert synced.attempt.outcome == attempt_pb2.ATTEMPT_OUTCOME_SYNCED
    assert synced.attempt.crm_contact_id
    assert synced.attempt.server
    assert synced.attempt.contact_version == 1
    assert not page.waiting
    assert not page.next_page_token


async def test_pages_of_a_story_join_without_a_gap(client: CrmsyncClient) -> None:
    """Whatever their size; and a page's token serves its own list only."""
    contact_id = await create(client)
    for crm in ("hubspot", "brevo"):
        await finished(client, (await queue_all(client, crm)).id)
    whole = await story(client, contact_id)
    seen: list[attempt_pb2.AttemptEvent] = []
    token = ""
    while True:
        page = await story(client, contact_id, page_size=1, page_token=token)
        seen += page.events
        if not page.next_page_token:
            break
        token = page.next_page_token
    assert seen == list(whole.events)
    request = pb.ListAttemptsRequest(contact_id=contact_id, crm="brevo", page_token=token)
    assert (await failure(client.sync.ListAttempts(request))).reason == "INVALID_PAGE_TOKEN"


async def test_a_story_of_one_crm_leaves_out_the_others(client: CrmsyncClient) -> None:
    """On every page."""
    contact_id = await create(client)
    for crm in ("hubspot", "brevo"):
        await finished(client, (await queue_all(client, crm)).id)
    page = await story(client, contact_id, crm="brevo")
    assert {event.crm for event in page.events} == {"brevo"}


async def test_a_contact_that_the_crm_put_off_says_until_when(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """It is due then, or its lane is."""
    contact_id = await create(client)
    late = ScriptedFault(kind="status", status=429, times=1000, retry_after_seconds=3600)
    sandbox.hubspot.faults.script(late)
    await queue_all(client, "hubspot")

    async def waits_for_long() -> attempt_pb2.Waiting:
        [waiting] = (await story(client, contact_id)).waiting
        assert waiting.until_time.ToDatetime(UTC) > datetime.now(UTC) + timedelta(minutes=30)
        return waiting

    waiting = await eventually(waits_for_long)
    assert waiting.crm == "hubspot"
    assert waiting.reason in {
        attempt_pb2.WAIT_REASON_NOT_DUE,
        attempt_pb2.WAIT_REASON_LANE_PAUSED,
    }
    assert waiting.message


async def test_a_lane_that_is_paused_says_why(client: CrmsyncClient, database: Database) -> None:
    """With the code, and until when."""
    contact_id = await create(client)
    async with database.org("default") as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO lanes (org_id, crm, paused_until, pause_code, pause_message)"
                " VALUES ('default', 'hubspot', now() + interval '1 hour', 'CREDENTIALS_REFUSED',"
                " 'the token is no longer valid')"
            )
        )
    opened = await queue_all(client, "hubspot")
    [waiting] = (await story(client, contact_id)).waiting
    assert waiting.reason == attempt_pb2.WAIT_REASON_LANE_PAUSED
    assert (waiting.code, waiting.message) == (
        "CREDENTIALS_REFUSED",
        "the token is no longer valid",
    )
    assert waiting.until_time.ToDatetime(UTC) > datetime.now(UTC) + timedelta(minutes=50)
    await client.sessions.CancelSession(sessions.CancelSessionRequest(session_id=opened.id))
    page = await story(client, contact_id)
    assert told(page) == [("hubspot", "cancelled"), ("hubspot", "queued")]
    assert page.events[0].cancelled.session_id == opened.id
    assert not page.waiting


async def test_an_unknown_or_deleted_contact_has_no_story(client: CrmsyncClient) -> None:
    """NOT_FOUND, as for all that concerns it."""
    deleted = await create(client)
    await client.contacts.DeleteContact(
        contact_service_pb2.DeleteContactRequest(contact_id=deleted)
    )
    for contact_id in (new_uuid(), deleted):
        request = pb.ListAttemptsRequest(contact_id=contact_id)
        failed = await failure(client.sync.ListAttempts(request))
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"contact_id": "7"}, "INVALID_REQUEST"),
        ({"page_size": -1}, "INVALID_REQUEST"),
        ({"page_token": "nonsense"}, "INVALID_PAGE_TOKEN"),
        ({"crm": "pipedrive"}, "UNKNOWN_CRM"),
    ],
)
async def test_a_request_that_is_wrong_is_refused(
    client: CrmsyncClient, bad: dict[str, object], reason: str
) -> None:
    """With its reason."""
    request = pb.ListAttemptsRequest(**{"contact_id": new_uuid(), **bad})  # type: ignore[arg-type]  # fields by name
    failed = await failure(client.sync.ListAttempts(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
