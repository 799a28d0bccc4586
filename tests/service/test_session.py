"""SessionService, through a real channel: reading, listing, cancelling and watching."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

import grpc
import pytest

from crmsync.v1 import session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_client.errors import Failure
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.session import revision_of
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, import_many, new_uuid, queue_all


def never_ready(sandbox: Sandbox) -> None:
    """Have the CRM put off every delivery for a while."""
    daily = ScriptedFault(kind="status", status=429, policy="TEN_SECONDLY_ROLLING", times=1000)
    sandbox.hubspot.faults.script(daily)


@asynccontextmanager
async def another(settings: Settings) -> AsyncIterator[CrmsyncClient]:
    """Run one more server, and connect to it."""
    async with (
        serving(settings, authenticator_of(settings, None)) as running,
        CrmsyncClient(f"127.0.0.1:{running.port}") as client,
    ):
        yield client


async def get(client: CrmsyncClient, session_id: str) -> session_pb2.Session:
    """Read a session."""
    request = pb.GetSessionRequest(session_id=session_id)
    return (await client.sessions.GetSession(request)).session


async def test_an_unknown_session_is_not_found(client: CrmsyncClient) -> None:
    """For every method that takes an id."""
    unknown = new_uuid()
    for call in (
        client.sessions.GetSession(pb.GetSessionRequest(session_id=unknown)),
        client.sessions.CancelSession(pb.CancelSessionRequest(session_id=unknown)),
        client.sessions.WatchSession(pb.WatchSessionRequest(session_id=unknown)).read(),
    ):
        failed = await failure(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_sessions_are_listed_newest_first_and_once(client: CrmsyncClient) -> None:
    """Pages join without a gap, whatever the page size."""
    opened = [(await queue_all(client)).id for _ in range(5)]
    listed: list[str] = []
    request = pb.ListSessionsRequest(page_size=2)
    while True:
        page = await client.sessions.ListSessions(request)
        listed += [one.id for one in page.sessions]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert listed == opened[::-1]


async def test_sessions_are_listed_by_state_kind_and_crm(client: CrmsyncClient) -> None:
    """Each condition narrows the list."""
    await queue_all(client, "hubspot")
    brevo = await queue_all(client, "brevo")
    request = pb.ListSessionsRequest(
        states=[session_pb2.SESSION_STATE_SUCCEEDED],
        kind=session_pb2.SESSION_KIND_QUEUE_ALL_CONTACTS,
        crm="brevo",
    )
    assert [one.id for one in (await client.sessions.ListSessions(request)).sessions] == [brevo.id]
    request.states[:] = [session_pb2.SESSION_STATE_CANCELLED]
    assert not (await client.sessions.ListSessions(request)).sessions


async def test_any_state_in_a_filter_means_all(client: CrmsyncClient) -> None:
    """As the contract says of SESSION_STATE_UNSPECIFIED."""
    await queue_all(client)
    request = pb.ListSessionsRequest(states=[session_pb2.SESSION_STATE_UNSPECIFIED])
    assert len((await client.sessions.ListSessions(request)).sessions) == 1


async def test_a_page_token_serves_only_its_own_list(client: CrmsyncClient) -> None:
    """Given for another filter it is INVALID_ARGUMENT."""
    await queue_all(client)
    await queue_all(client)
    page = await client.sessions.ListSessions(pb.ListSessionsRequest(page_size=1))
    other = pb.ListSessionsRequest(page_size=1, page_token=page.next_page_token, crm="brevo")
    failed = await failure(client.sessions.ListSessions(other))
    assert failed.reason == "INVALID_PAGE_TOKEN"


async def test_cancelling_accounts_for_every_item(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """What was delivered stays delivered, the rest is cancelled, and nothing is left over."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.05)
    await import_many(client, 2_000)
    session = await queue_all(client)
    async for state in client.watch_session(session.id):
        if state.progress.synced:
            break
    await client.sessions.CancelSession(pb.CancelSessionRequest(session_id=session.id))
    ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED
    assert ended.progress.cancelled > 0
    assert ended.progress.synced + ended.progress.cancelled == 2_000
    assert ended.progress.synced == len(list(sandbox.hubspot.contacts()))
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_a_finished_session_cannot_be_cancelled(client: CrmsyncClient) -> None:
    """FAILED_PRECONDITION with its state."""
    session = await queue_all(client)
    request = pb.CancelSessionRequest(session_id=session.id)
    failed = await failure(client.sessions.CancelSession(request))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_ENDED",
    )
    assert failed.metadata["state"] == "SUCCEEDED"


async def test_cancelling_twice_answers_the_same(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """The second call changes nothing."""
    never_ready(sandbox)
    await create(client)
    session = await queue_all(client)
    request = pb.CancelSessionRequest(session_id=session.id)
    await client.sessions.CancelSession(request)
    ended = await finished(client, session.id)
    again = (await client.sessions.CancelSession(request)).session
    assert (again.state, again.progress.cancelled) == (ended.state, 1)


async def test_a_shared_delivery_survives_the_cancelling_of_one_session(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The contact stays queued for the other session that wants it."""
    never_ready(sandbox)
    await create(client)
    first, second = await queue_all(client), await queue_all(client)
    await client.sessions.CancelSession(pb.CancelSessionRequest(session_id=first.id))
    assert (await finished(client, first.id)).progress.cancelled == 1
    assert (await get(client, second.id)).progress.pending == 1


async def test_a_watch_begins_with_a_snapshot_and_ends_with_the_final_state(
    client: CrmsyncClient,
) -> None:
    """Counts never go back, and the last message is the end."""
    await import_many(client, 1_000)
    session = await queue_all(client)
    states = [state async for state in client.watch_session(session.id)]
    counts = [state.progress.completed for state in states]
    assert counts == sorted(counts)
    assert states[-1].state == session_pb2.SESSION_STATE_SUCCEEDED
    assert states[-1].progress.completed == 1_000
    assert states[-1].HasField("end_time")


async def test_a_watch_with_the_newest_token_hears_nothing_twice(client: CrmsyncClient) -> None:
    """A caller that has seen the final state gets an empty stream."""
    ended = await finished(client, (await queue_all(client)).id)
    request = pb.WatchSessionRequest(session_id=ended.id, resume_token=ended.resume_token)
    assert [message async for message in client.sessions.WatchSession(request)] == []


async def test_a_resume_token_from_elsewhere_is_refused(client: CrmsyncClient) -> None:
    """INVALID_ARGUMENT naming the field: it would hide what this session has to tell."""
    other = await queue_all(client)
    request = pb.WatchSessionRequest(session_id=new_uuid(), resume_token=other.resume_token)
    failed = await failure(client.sessions.WatchSession(request).read())
    assert [one.field for one in failed.violations] == ["resume_token"]


async def test_a_server_that_stops_sends_its_watchers_elsewhere(
    settings: Settings, sandbox: Sandbox
) -> None:
    """UNAVAILABLE, DRAINING, and the token to go on from in the trailers."""
    never_ready(sandbox)
    async with serving(settings, authenticator_of(settings, None)) as running:
        client = CrmsyncClient(f"127.0.0.1:{running.port}")
        await create(client)
        session = await queue_all(client)
        watch = client.sessions.WatchSession(pb.WatchSessionRequest(session_id=session.id))
        messages = aiter(watch)
        await anext(messages)
    error = await _end_of(messages)
    failed = Failure.of(error)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    # The stubs tell of the metadata that calls outside asyncio have.
    trailing = cast("grpc.aio.Metadata", error.trailing_metadata())
    assert revision_of(str(trailing["crmsync-resume-token"]), UUID(session.id)) is not None
    await client.close()


async def _end_of(messages: AsyncIterator[pb.WatchSessionResponse]) -> grpc.aio.AioRpcError:
    """Read a watch until it fails, and return how."""
    try:
        async for _ in messages:
            continue
    except grpc.aio.AioRpcError as error:
        return error
    return pytest.fail("the watch ended without an error")


async def test_a_watch_sees_what_another_server_delivers(
    settings: Settings, target: str, client: CrmsyncClient
) -> None:
    """Two servers over one database: progress is pushed from either."""
    async with another(settings) as neighbour:
        await import_many(client, 1_000)
        session = await queue_all(client)
        here, there = await asyncio.gather(
            finished(client, session.id), finished(neighbour, session.id)
        )
    assert target
    assert here.progress.synced == there.progress.synced == 1_000


async def test_deliveries_go_on_after_a_restart(settings: Settings, sandbox: Sandbox) -> None:
    """What a stopped server left in the queue, the next one delivers."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.2)
    async with another(settings) as client:
        await import_many(client, 2_000)
        session = await queue_all(client)
    sandbox.hubspot.faults.settings = FaultSettings()
    async with another(settings) as client:
        ended = await finished(client, session.id)
    assert ended.progress.synced == 2_000
    assert len(list(sandbox.hubspot.contacts())) == 2_000


async def test_sessions_can_be_read_while_they_run(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """The sum of the outcomes and the pending items is the total, at any time."""
    never_ready(sandbox)
    await import_many(client, 10)
    session = await queue_all(client)

    async def consistent() -> None:
        progress = (await get(client, session.id)).progress
        done = progress.synced + progress.skipped + progress.errors + progress.cancelled
        assert (done, done + progress.pending) == (progress.completed, progress.total)

    await eventually(consistent)
