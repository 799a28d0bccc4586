"""Watching events: through breaks, silence and restarts, each once."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import grpc
import pytest

from crmsync.v1.heartbeat_pb2 import Heartbeat
from crmsync.v1.sync_event_pb2 import SyncEvent
from crmsync.v1.sync_service_pb2 import WatchEventsRequest, WatchEventsResponse
from crmsync_client import CrmsyncClient, RetryPolicy
from tests.clients.scripted import EventScript, ScriptedServer, Streaming, forever


def event(number: int) -> WatchEventsResponse:
    """Return the message of an event."""
    return WatchEventsResponse(sync_event=SyncEvent(attempt=number), resume_token=f"at-{number}")


def beat(token: str) -> WatchEventsResponse:
    """Return a sign of life at a place."""
    return WatchEventsResponse(heartbeat=Heartbeat(), resume_token=token)


def sends(
    *messages: WatchEventsResponse, code: grpc.StatusCode | None = None, silent: bool = False
) -> EventScript:
    """Return a script that sends these, and then ends, aborts or hangs."""

    async def script(
        _: WatchEventsRequest, context: Streaming
    ) -> AsyncIterator[WatchEventsResponse]:
        for message in messages:
            yield message
        if silent:
            await forever()
        if code is not None:
            await context.abort(code, "as written")

    return script


async def numbers(crmsync: CrmsyncClient, count: int, token: str = "") -> list[int]:
    """Watch so many events and return their numbers."""
    seen: list[int] = []
    async with aclosing(crmsync.watch_events(crm="brevo", resume_token=token)) as watch:
        async for message in watch:
            seen.append(message.sync_event.attempt)
            if len(seen) == count:
                break
    return seen


async def test_heartbeats_are_not_shown(crmsync: CrmsyncClient, scripted: ScriptedServer) -> None:
    """A sign of life is no event."""
    scripted.streams = [sends(beat("at-0"), event(1), beat("at-1"), event(2), silent=True)]
    assert await numbers(crmsync, 2) == [1, 2]


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
async def test_a_broken_watch_goes_on_after_the_last_event_it_saw(
    crmsync: CrmsyncClient, scripted: ScriptedServer, code: grpc.StatusCode | None
) -> None:
    """However it broke, for the same CRM."""
    scripted.streams = [
        sends(beat("at-0"), event(1), event(2), code=code),
        sends(event(3), code=code),
        sends(event(4), silent=True),
    ]
    assert await numbers(crmsync, 4) == [1, 2, 3, 4]
    asked = [(one.crm, one.resume_token) for one in scripted.streamed]
    assert asked == [("brevo", ""), ("brevo", "at-2"), ("brevo", "at-3")]


async def test_a_watch_that_was_told_of_nothing_yet_goes_on_where_it_began(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """The first sign of life says where; later ones move on."""
    unavailable = grpc.StatusCode.UNAVAILABLE
    scripted.streams = [
        sends(beat("start"), code=unavailable),
        sends(beat("start"), beat("later"), code=unavailable),
        sends(event(1), silent=True),
    ]
    assert await numbers(crmsync, 1) == [1]
    assert [one.resume_token for one in scripted.streamed] == ["", "start", "later"]


async def test_a_watch_begins_after_the_token_it_is_given(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """Which an earlier message carried."""
    scripted.streams = [sends(event(8), silent=True)]
    assert await numbers(crmsync, 1, token="at-7") == [8]
    assert scripted.streamed[0].resume_token == "at-7"


async def test_a_silent_stream_is_left_for_a_new_one(
    port: int, policy: RetryPolicy, scripted: ScriptedServer
) -> None:
    """A dead peer sends nothing, not even an error."""
    scripted.streams = [sends(event(1), silent=True), sends(event(2), silent=True)]
    silence = timedelta(milliseconds=500)
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=policy, silence=silence) as crmsync:
        assert await numbers(crmsync, 2) == [1, 2]


async def test_a_refusal_ends_the_watch(crmsync: CrmsyncClient, scripted: ScriptedServer) -> None:
    """A token that is too old does not become younger by asking again."""
    scripted.streams = [sends(event(1), code=grpc.StatusCode.OUT_OF_RANGE)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await numbers(crmsync, 2)
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert len(scripted.streamed) == 1
