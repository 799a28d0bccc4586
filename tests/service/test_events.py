"""SyncService.WatchEvents, through a real channel: at any server, through drains, without a gap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import cast

import grpc
import pytest

from crmsync.v1 import attempt_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_client.errors import Failure
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store import event
from crmsync_server.store.db import Database
from crmsync_server.store.place import Key, Place, token
from tests.service.calls import create, failure, finished, import_many, queue_all

ORG = "default"


@asynccontextmanager
async def another(settings: Settings) -> AsyncIterator[CrmsyncClient]:
    """Run one more server, and connect to it."""
    async with (
        serving(settings, authenticator_of(settings, None)) as running,
        CrmsyncClient(f"127.0.0.1:{running.port}") as client,
    ):
        yield client


async def some(
    client: CrmsyncClient, count: int, crm: str = "", resume_token: str = ""
) -> list[pb.WatchEventsResponse]:
    """Watch from a token, or from the beginning, until so many events have come."""
    told: list[pb.WatchEventsResponse] = []
    watch = client.watch_events(crm=crm, resume_token=resume_token, from_beginning=True)
    async with asyncio.timeout(20), aclosing(watch):
        async for message in watch:
            told.append(message)
            if len(told) == count:
                break
    return told


async def delivered(client: CrmsyncClient, crm: str = "hubspot") -> None:
    """Queue everybody, and wait for the end."""
    await finished(client, (await queue_all(client, crm)).id)


async def test_every_outcome_is_told_with_what_the_crm_said(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """A failure that passes, and the success after it."""
    contact_id = await create(client, first_name="Ada")
    sandbox.hubspot.faults.script(ScriptedFault(kind="status", status=500, times=1))
    await delivered(client)
    retried, synced = (message.sync_event for message in await some(client, 2))
    assert {retried.contact_id, synced.contact_id} == {contact_id}
    assert retried.outcome == attempt_pb2.ATTEMPT_OUTCOME_RETRY
    assert retried.error.code
    assert retried.error.request_id == retried.request_id
    assert retried.next_retry_time.ToDatetime() >= retried.end_time.ToDatetime()
    assert (synced.attempt, synced.crm) == (retried.attempt + 1, "hubspot")
    assert synced.outcome == attempt_pb2.ATTEMPT_OUTCOME_SYNCED
    assert synced.crm_contact_id
    assert synced.contact_version == 1


async def test_a_watch_without_a_token_begins_with_a_sign_of_life_and_what_comes_then(
    client: CrmsyncClient,
) -> None:
    """And its token is the place where it began."""
    await import_many(client, 2)
    await delivered(client)
    call = client.sync.WatchEvents(pb.WatchEventsRequest())
    first = cast("pb.WatchEventsResponse", await call.read())
    assert first.HasField("heartbeat")
    await delivered(client, "brevo")
    second = cast("pb.WatchEventsResponse", await call.read())
    call.cancel()
    assert second.sync_event.crm == "brevo"
    resumed = await some(client, 2, resume_token=first.resume_token)
    assert {message.sync_event.crm for message in resumed} == {"brevo"}


async def test_a_watch_goes_on_at_another_server_right_after_its_token(
    client: CrmsyncClient, settings: Settings
) -> None:
    """Whoever told it."""
    await import_many(client, 5)
    await delivered(client)
    whole = await some(client, 5)
    async with another(settings) as other:
        for at, message in enumerate(whole[:-1]):
            rest = await some(other, 4 - at, resume_token=message.resume_token)
            assert rest == whole[at + 1 :]


async def test_a_watch_of_one_crm_leaves_out_the_others(client: CrmsyncClient) -> None:
    """A token serves whatever the CRM."""
    await import_many(client, 3)
    await delivered(client)
    await delivered(client, "brevo")
    brevo = await some(client, 3, crm="brevo")
    assert {message.sync_event.crm for message in brevo} == {"brevo"}
    rest = await some(client, 2, resume_token=brevo[0].resume_token)
    assert rest == brevo[1:]


async def test_a_drain_ends_the_stream_with_a_token_to_go_on_with(
    client: CrmsyncClient, settings: Settings
) -> None:
    """In the trailers, and nothing is missed by going on elsewhere."""
    await create(client)
    async with AsyncExitStack() as stack:
        async with serving(settings, authenticator_of(settings, None)) as leaving:
            target = f"127.0.0.1:{leaving.port}"
            watcher = await stack.enter_async_context(CrmsyncClient(target))
            call = watcher.sync.WatchEvents(pb.WatchEventsRequest())
            first = cast("pb.WatchEventsResponse", await call.read())
            assert first.HasField("heartbeat")
            waiting = asyncio.ensure_future(call.read())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await waiting
    failed = Failure.of(ended.value)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    trailers = cast("grpc.aio.Metadata", ended.value.trailing_metadata())
    left = trailers["crmsync-resume-token"]
    assert isinstance(left, str)
    await delivered(client)
    [message] = await some(client, 1, resume_token=left)
    assert message.sync_event.outcome == attempt_pb2.ATTEMPT_OUTCOME_SYNCED


@pytest.mark.parametrize("bad", ["nonsense", "A" * 64, "x" * 65])
async def test_a_token_that_is_none_is_refused_by_its_field(
    client: CrmsyncClient, bad: str
) -> None:
    """And says what would be right."""
    failed = await failure(client.sync.WatchEvents(pb.WatchEventsRequest(resume_token=bad)).read())
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )
    assert [violation.field for violation in failed.violations] == ["resume_token"]


async def test_a_token_of_another_organization_is_refused(
    client: CrmsyncClient, database: Database
) -> None:
    """It names nothing here."""
    async with database.everyone() as connection:
        bounds = await event.bounds(connection)
    foreign = token("globex", bounds.system, bounds.border)
    request = pb.WatchEventsRequest(resume_token=foreign)
    assert (await failure(client.sync.WatchEvents(request).read())).reason == "INVALID_REQUEST"


async def test_a_token_that_is_too_old_is_told_the_oldest_valid_one(
    client: CrmsyncClient, database: Database
) -> None:
    """With when what comes after it happened; and that one is taken."""
    async with database.everyone() as connection:
        bounds = await event.bounds(connection)
    old = token(ORG, bounds.system, Place(Key(1), bounds.kept_from.replace(year=2020)))
    request = pb.WatchEventsRequest(resume_token=old)
    failed = await failure(client.sync.WatchEvents(request).read())
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "RESUME_TOKEN_EXPIRED",
    )
    assert failed.metadata["oldest_time"].startswith(f"{bounds.kept_from:%Y-%m-%dT%H:%M}")
    await create(client)
    await delivered(client)
    assert await some(client, 1, resume_token=failed.metadata["oldest_token"])


async def test_an_unknown_crm_is_refused_with_those_known(client: CrmsyncClient) -> None:
    """As everywhere."""
    failed = await failure(client.sync.WatchEvents(pb.WatchEventsRequest(crm="pipedrive")).read())
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_CRM")
