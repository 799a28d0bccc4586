"""What is told of contacts that wait for a paused session, through a real channel."""

from crmsync.v1 import admin_service_pb2, attempt_pb2, session_pb2, sync_service_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from tests.service.calls import create, finished, queue_all
from tests.service.starting import PUSH, full, items, start

CRM = "hubspot"
FAR_AWAY = "2534"  # how the seconds of the year 9999 begin


async def waiting(client: CrmsyncClient, contact_id: str) -> attempt_pb2.Waiting:
    """Return what a contact waits for."""
    request = sync_service_pb2.ListAttemptsRequest(contact_id=contact_id)
    [told] = (await client.sync.ListAttempts(request)).waiting
    return told


async def status(
    client: CrmsyncClient, contact_id: str
) -> sync_service_pb2.GetContactSyncStatusResponse:
    """Return how a contact stands."""
    request = sync_service_pb2.GetContactSyncStatusRequest(contact_id=contact_id)
    return await client.sync.GetContactSyncStatus(request)


async def held(client: CrmsyncClient) -> tuple[str, str]:
    """Queue a contact in a lane that stands still, pause its session, and return both ids."""
    pause = admin_service_pb2.PauseCrmRequest(crm=CRM, reason="for now")
    await client.admin.PauseCrm(pause)
    contact_id = await create(client)
    session = await start(client, full(direction=PUSH))
    await client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id))
    return contact_id, session.id


async def test_a_contact_that_waits_for_a_paused_session_says_for_which(
    client: CrmsyncClient,
) -> None:
    """Before anything else that it waits for; and afterwards that."""
    contact_id, session_id = await held(client)
    told = await waiting(client, contact_id)
    assert told.reason == attempt_pb2.WAIT_REASON_SESSION_PAUSED
    assert told.session_id == session_id
    assert session_id in told.message
    assert not told.HasField("until_time")
    await client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session_id))
    told = await waiting(client, contact_id)
    assert (told.reason, told.session_id) == (attempt_pb2.WAIT_REASON_LANE_PAUSED, "")


async def test_nothing_is_due_or_estimated_for_what_waits_for_a_paused_session(
    client: CrmsyncClient,
) -> None:
    """Neither for the contact nor for the session, and no time lies at the end of all days."""
    contact_id, session_id = await held(client)
    await client.admin.ResumeCrm(admin_service_pb2.ResumeCrmRequest(crm=CRM))
    told = await status(client, contact_id)
    standing = told.contact_syncs[CRM]
    assert standing.paused_session_id == session_id
    assert not standing.HasField("next_retry_time")
    assert not standing.HasField("estimated_processing_time")
    request = pb.GetSessionRequest(session_id=session_id)
    paused = (await client.sessions.GetSession(request)).session
    assert not paused.progress.HasField("estimated_completion_time")
    assert not paused.forecast.HasField("completion_time")
    listed = await items(client, session_id)
    assert FAR_AWAY not in f"{told}{paused}{listed}{await waiting(client, contact_id)}"
    await client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session_id))
    assert (await finished(client, session_id)).progress.synced == 1
    assert not (await status(client, contact_id)).contact_syncs[CRM].paused_session_id


async def test_a_contact_that_a_running_session_wants_as_well_waits_for_none(
    client: CrmsyncClient,
) -> None:
    """It is delivered for that one."""
    contact_id, _ = await held(client)
    queued = await queue_all(client)
    assert (await waiting(client, contact_id)).reason == attempt_pb2.WAIT_REASON_LANE_PAUSED
    assert not (await status(client, contact_id)).contact_syncs[CRM].paused_session_id
    await client.admin.ResumeCrm(admin_service_pb2.ResumeCrmRequest(crm=CRM))
    ended = await finished(client, queued.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
