"""Watching a session through broken connections, restarts and silence."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from crmsync.v1.session_pb2 import Session, SessionState
from crmsync.v1.session_service_pb2 import WatchSessionRequest
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_client.errors import is_passing
from crmsync_client.retry import Retries, RetryPolicy

# Three heartbeats of the server, which come at least every 15 s.
SILENCE = timedelta(seconds=45)
FINAL_STATES = frozenset(
    {
        SessionState.SESSION_STATE_SUCCEEDED,
        SessionState.SESSION_STATE_CANCELLED,
        SessionState.SESSION_STATE_FAILED,
    }
)

Message = TypeVar("Message")


class BrokenStreamError(ConnectionError):
    """A stream ended before its session did, or nothing came through it, not even a heartbeat."""


async def watch(
    stub: SessionServiceStub, session_id: str, policy: RetryPolicy, silence: timedelta
) -> AsyncGenerator[Session, None]:
    """Yield the session as it is, then each change, until its end; see CrmsyncClient."""
    retries = Retries(policy)
    request = WatchSessionRequest(session_id=session_id)
    while True:
        broken: Exception = BrokenStreamError(f"the watch of session {session_id} ended early")
        try:
            async with aclosing(_stream(stub, request, retries, silence)) as sessions:
                async for session in sessions:
                    request.resume_token = session.resume_token
                    yield session
                    if session.state in FINAL_STATES:
                        return
        except TimeoutError:
            broken = BrokenStreamError(f"the watch of session {session_id} fell silent")
        except grpc.aio.AioRpcError as error:
            if not is_passing(error):
                raise
            broken = error
        await retries.wait(broken)


async def _stream(
    stub: SessionServiceStub, request: WatchSessionRequest, retries: Retries, silence: timedelta
) -> AsyncGenerator[Session, None]:
    """Yield the sessions of one call; TimeoutError when it falls silent."""
    async with aclosing(heard(stub.WatchSession(request), retries, silence)) as messages:
        async for message in messages:
            if message.HasField("session"):
                yield message.session


async def heard(
    call: "grpc.aio.UnaryStreamCall[Any, Message]", retries: Retries, silence: timedelta
) -> AsyncGenerator[Message, None]:
    """Yield the messages of one call; TimeoutError when it falls silent."""
    messages = aiter(call)
    try:
        while True:
            async with asyncio.timeout(silence.total_seconds()):
                message = await anext(messages, None)
            if message is None:
                return
            retries.heard()
            yield message
    finally:
        call.cancel()  # a call that is only dropped stays open until its channel closes
