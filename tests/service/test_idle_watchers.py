"""Watchers that stop reading, give up or are cut off: nobody else waits for them."""

import asyncio

import grpc
import pytest

from crmsync.v1 import session_service_pb2 as sessions
from crmsync.v1 import sync_service_pb2 as pb
from crmsync.v1.admin_service_pb2 import PauseCrmRequest
from crmsync.v1.session_pb2 import SESSION_STATE_SUCCEEDED
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.settings import Settings
from tests.service.calls import create, finished, import_many, queue_all

# A connection takes 64 KiB that nobody reads; these are some 300 KiB of events.
_MANY = 2_000


async def test_a_watcher_that_does_not_read_holds_up_nobody(
    client: CrmsyncClient, target: str
) -> None:
    """Neither deliveries nor other watchers; and when it reads, nothing is missing."""
    await import_many(client, _MANY)
    async with CrmsyncClient(target) as idle:
        events = idle.sync.WatchEvents(pb.WatchEventsRequest())
        await events.read()
        session = await queue_all(client)
        state = idle.sessions.WatchSession(sessions.WatchSessionRequest(session_id=session.id))
        assert (await finished(client, session.id)).progress.synced == _MANY
        told: set[str] = set()
        while len(told) < _MANY:
            message = await events.read()
            assert isinstance(message, pb.WatchEventsResponse)
            if message.HasField("sync_event"):
                told.add(message.sync_event.contact_id)
        last = [message async for message in state][-1]
        assert last.session.state == SESSION_STATE_SUCCEEDED


async def test_a_watch_ends_with_the_deadline_of_its_caller(client: CrmsyncClient) -> None:
    """And the next call is answered as ever."""
    await client.admin.PauseCrm(PauseCrmRequest(crm="hubspot"))
    await create(client)
    session = await queue_all(client)
    for call in (
        client.sync.WatchEvents(pb.WatchEventsRequest(), timeout=0.2),
        client.sessions.WatchSession(
            sessions.WatchSessionRequest(session_id=session.id), timeout=0.2
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in call:
                pass
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    request = sessions.GetSessionRequest(session_id=session.id)
    assert (await client.sessions.GetSession(request)).session.id == session.id


async def test_a_server_stops_although_a_watcher_does_not_read(
    client: CrmsyncClient, settings: Settings
) -> None:
    """When its time to drain is over; the watcher is cut off and may come back elsewhere."""
    await import_many(client, _MANY)
    await finished(client, (await queue_all(client)).id)
    brief = settings.model_copy(update={"drain_timeout": settings.drain_timeout / 10})
    async with asyncio.timeout(30):
        async with serving(brief, authenticator_of(brief, None)) as leaving:
            idle = CrmsyncClient(f"127.0.0.1:{leaving.port}")
            call = idle.sync.WatchEvents(pb.WatchEventsRequest(from_beginning=True))
            await call.read()
        await idle.close()
