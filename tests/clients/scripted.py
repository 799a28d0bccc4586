"""A server on loopback that plays what a test wrote, one script for each call."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc

from crmsync.v1.contact_service_pb2 import ImportContactsRequest, ImportContactsResponse
from crmsync.v1.session_pb2 import Session, SessionState
from crmsync.v1.session_service_pb2 import WatchSessionRequest, WatchSessionResponse
from crmsync.v1.sync_service_pb2 import WatchEventsRequest, WatchEventsResponse

Watching: TypeAlias = "grpc.aio.ServicerContext[WatchSessionRequest, WatchSessionResponse]"
WatchScript: TypeAlias = Callable[
    [WatchSessionRequest, Watching], AsyncIterator[WatchSessionResponse]
]
Streaming: TypeAlias = "grpc.aio.ServicerContext[WatchEventsRequest, WatchEventsResponse]"
EventScript: TypeAlias = Callable[
    [WatchEventsRequest, Streaming], AsyncIterator[WatchEventsResponse]
]
Importing: TypeAlias = "grpc.aio.ServicerContext[ImportContactsRequest, ImportContactsResponse]"
ImportScript: TypeAlias = Callable[
    [AsyncIterator[ImportContactsRequest], Importing], Awaitable[ImportContactsResponse]
]


class ScriptedServer:
    """Plays its scripts in turn, and keeps what the calls came with."""

    def __init__(self) -> None:
        """Start without scripts."""
        self.watches: list[WatchScript] = []
        self.imports: list[ImportScript] = []
        self.watched: list[WatchSessionRequest] = []
        self.streams: list[EventScript] = []
        self.streamed: list[WatchEventsRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []

    def handlers(self) -> list["grpc.GenericRpcHandler[Any, Any]"]:
        """Return what the methods are answered by."""
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch, WatchSessionRequest.FromString, WatchSessionResponse.SerializeToString
        )
        stream = grpc.unary_stream_rpc_method_handler(
            self._stream, WatchEventsRequest.FromString, WatchEventsResponse.SerializeToString
        )
        take = grpc.stream_unary_rpc_method_handler(
            self._import, ImportContactsRequest.FromString, ImportContactsResponse.SerializeToString
        )
        return [
            grpc.method_handlers_generic_handler(
                "crmsync.v1.SessionService", {"WatchSession": watch}
            ),
            grpc.method_handlers_generic_handler("crmsync.v1.SyncService", {"WatchEvents": stream}),
            grpc.method_handlers_generic_handler(
                "crmsync.v1.ContactService", {"ImportContacts": take}
            ),
        ]

    async def _watch(
        self, request: WatchSessionRequest, context: Watching
    ) -> AsyncGenerator[WatchSessionResponse, None]:
        self.watched.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        async for message in self.watches.pop(0)(request, context):
            yield message

    async def _stream(
        self, request: WatchEventsRequest, context: Streaming
    ) -> AsyncGenerator[WatchEventsResponse, None]:
        self.streamed.append(request)
        async for message in self.streams.pop(0)(request, context):
            yield message

    async def _import(
        self, requests: AsyncIterator[ImportContactsRequest], context: Importing
    ) -> ImportContactsResponse:
        return await self.imports.pop(0)(requests, context)


@asynccontextmanager
async def serving(server: ScriptedServer, port: int = 0) -> AsyncIterator[int]:
    """Listen on loopback, and say on which port; leaving breaks every call at once."""
    listening = grpc.aio.server()
    listening.add_generic_rpc_handlers(server.handlers())
    bound = listening.add_insecure_port(f"127.0.0.1:{port}")
    await listening.start()
    try:
        yield bound
    finally:
        await listening.stop(None)


def state(completed: int, *, ended: bool = False) -> WatchSessionResponse:
    """Return the message of a session that has come so far."""
    running, succeeded = SessionState.SESSION_STATE_RUNNING, SessionState.SESSION_STATE_SUCCEEDED
    session = Session(
        id="the-session", state=succeeded if ended else running, resume_token=f"at-{completed}"
    )
    session.progress.completed = completed
    return WatchSessionResponse(session=session)


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


def plays(*messages: WatchSessionResponse) -> WatchScript:
    """Return a script that sends these and ends with OK."""

    async def script(_: WatchSessionRequest, __: Watching) -> AsyncIterator[WatchSessionResponse]:
        for message in messages:
            yield message

    return script


def aborts(code: grpc.StatusCode, *messages: WatchSessionResponse) -> WatchScript:
    """Return a script that sends these and ends with an error."""

    async def script(
        _: WatchSessionRequest, context: Watching
    ) -> AsyncIterator[WatchSessionResponse]:
        for message in messages:
            yield message
        await context.abort(code, "as written")

    return script


def hangs(*messages: WatchSessionResponse) -> WatchScript:
    """Return a script that sends these and nothing more."""

    async def script(_: WatchSessionRequest, __: Watching) -> AsyncIterator[WatchSessionResponse]:
        for message in messages:
            yield message
        await forever()

    return script
