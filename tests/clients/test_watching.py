"""Watching a session: through breaks, silence and restarts, to the final state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import grpc
import pytest

from crmsync.v1.heartbeat_pb2 import Heartbeat
from crmsync.v1.session_service_pb2 import WatchSessionRequest, WatchSessionResponse
from crmsync_client import CrmsyncClient, RetryPolicy
from tests.clients.scripted import (
    ScriptedServer,
    Watching,
    aborts,
    forever,
    hangs,
    plays,
    serving,
    state,
)


async def _completed(crmsync: CrmsyncClient) -> list[int]:
    return [one.progress.completed async for one in crmsync.watch_session("the-session")]


async def test_a_watch_ends_after_the_final_state(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """What the server would still send is not waited for."""
    scripted.watches = [hangs(state(0), state(5), state(9, ended=True))]
    assert await _completed(crmsync) == [0, 5, 9]


async def test_heartbeats_are_not_shown(crmsync: CrmsyncClient, scripted: ScriptedServer) -> None:
    """A sign of life is no state."""
    beat = WatchSessionResponse(heartbeat=Heartbeat())
    scripted.watches = [plays(state(0), beat, beat, state(9, ended=True))]
    assert await _completed(crmsync) == [0, 9]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
async def test_a_broken_watch_resumes_after_the_last_state_it_saw(
    crmsync: CrmsyncClient, scripted: ScriptedServer, code: grpc.StatusCode
) -> None:
    """Connections break as UNAVAILABLE and, in the middle of a message, as a bare INTERNAL."""
    scripted.watches = [aborts(code, state(0), state(5)), plays(state(9, ended=True))]
    assert await _completed(crmsync) == [0, 5, 9]
    assert [request.resume_token for request in scripted.watched] == ["", "at-5"]


async def test_a_watch_that_ends_early_is_made_again(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """Something between client and server may end a stream politely."""
    scripted.watches = [plays(state(5)), plays(), plays(state(9, ended=True))]
    assert await _completed(crmsync) == [5, 9]


async def test_a_silent_stream_is_left_for_a_new_one(
    port: int, policy: RetryPolicy, scripted: ScriptedServer
) -> None:
    """A dead peer sends nothing, not even an error."""
    scripted.watches = [hangs(state(5)), plays(state(9, ended=True))]
    silence = timedelta(milliseconds=500)
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=policy, silence=silence) as crmsync:
        assert await _completed(crmsync) == [5, 9]


async def test_a_watch_outlives_its_server(scripted: ScriptedServer) -> None:
    """The server goes without a word, and another one comes up at the same address."""
    scripted.watches = [hangs(state(5)), plays(state(9, ended=True))]
    seen = []
    async with serving(scripted) as port:
        crmsync = CrmsyncClient(f"127.0.0.1:{port}")
        watching = crmsync.watch_session("the-session")
        seen.append((await anext(watching)).progress.completed)
    async with serving(scripted, port):
        seen += [session.progress.completed async for session in watching]
    await crmsync.close()
    assert seen == [5, 9]


async def test_a_refusal_ends_the_watch(crmsync: CrmsyncClient, scripted: ScriptedServer) -> None:
    """What another try would not mend is raised at once."""
    scripted.watches = [aborts(grpc.StatusCode.NOT_FOUND)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _completed(crmsync)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert len(scripted.watched) == 1


async def test_a_server_that_never_answers_is_reported_when_patience_is_over(
    port: int, scripted: ScriptedServer
) -> None:
    """Without an end to patience a wrong address would be watched for ever."""
    scripted.watches = [aborts(grpc.StatusCode.UNAVAILABLE)] * 1000
    policy = RetryPolicy(base=timedelta(milliseconds=1), patience=timedelta(milliseconds=50))
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=policy) as crmsync:
        with pytest.raises(grpc.aio.AioRpcError):
            await _completed(crmsync)
    assert len(scripted.watched) > 1


async def test_patience_begins_anew_with_every_answer(port: int, scripted: ScriptedServer) -> None:
    """A session of hours may meet many short breaks."""
    breaks = [aborts(grpc.StatusCode.UNAVAILABLE, state(at)) for at in range(5)]
    scripted.watches = [*breaks, plays(state(9, ended=True))]
    policy = RetryPolicy(base=timedelta(milliseconds=100), patience=timedelta(milliseconds=400))
    whole = RetryPolicy(policy.base, policy.base, policy.patience, jitter=lambda: 1.0)
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=whole) as crmsync:
        assert await _completed(crmsync) == [0, 1, 2, 3, 4, 9]


async def test_leaving_a_watch_cancels_its_call(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """The server stops watching when nobody looks any more."""
    left = asyncio.Event()

    async def script(_: WatchSessionRequest, __: Watching) -> AsyncIterator[WatchSessionResponse]:
        try:
            yield state(0)
            await forever()
        finally:
            left.set()

    scripted.watches = [script]
    async with aclosing(crmsync.watch_session("the-session")) as watching:
        await anext(watching)
    await asyncio.wait_for(left.wait(), 5)
    assert len(scripted.watched) == 1
