"""A server with one scripted service, and what its caller sees."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast
from uuid import uuid4

import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    error_details_pb2,
    status_pb2,
)
from typing_extensions import override

from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.session_service_pb2_grpc import (
    SessionServiceServicer,
    add_SessionServiceServicer_to_server,
)
from crmsync_server.rpc.auth import Authenticator
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.server import Door, Registration, Server, build_server
from crmsync_server.rpc.tokens import Claims, OpenAuthenticator, TokenAuthenticator

SERVICE = "crmsync.v1.SessionService"
SESSION_ID = str(uuid4())
GET = pb.GetSessionRequest(session_id=SESSION_ID)
WATCH = pb.WatchSessionRequest(session_id=SESSION_ID)
LOOPBACK = Door("127.0.0.1:0")

Detail = TypeVar("Detail", bound=Message)
Item = TypeVar("Item")


async def _nothing() -> None:
    return


async def _no_messages() -> AsyncIterator[pb.WatchSessionResponse]:
    messages: list[pb.WatchSessionResponse] = []
    for message in messages:
        yield message


@dataclass
class Script(SessionServiceServicer):
    """Answers every call after running the test's own code.

    unary: run by the methods that answer once.
    stream: what a watcher gets.
    """

    unary: Callable[[], Awaitable[object]] = _nothing
    stream: Callable[[], AsyncIterator[pb.WatchSessionResponse]] = _no_messages

    @override
    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.GetSessionResponse()

    @override
    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """Run the code."""
        await self.unary()
        return pb.ListSessionsResponse()

    @override
    async def CancelSession(
        self, request: pb.CancelSessionRequest, context: Context
    ) -> pb.CancelSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.CancelSessionResponse()

    @override
    async def StartSession(
        self, request: pb.StartSessionRequest, context: Context
    ) -> pb.StartSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.StartSessionResponse()

    @override
    async def ValidateSession(
        self, request: pb.ValidateSessionRequest, context: Context
    ) -> pb.ValidateSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.ValidateSessionResponse()

    @override
    async def PauseSession(
        self, request: pb.PauseSessionRequest, context: Context
    ) -> pb.PauseSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.PauseSessionResponse()

    @override
    async def ResumeSession(
        self, request: pb.ResumeSessionRequest, context: Context
    ) -> pb.ResumeSessionResponse:
        """Run the code."""
        await self.unary()
        return pb.ResumeSessionResponse()

    @override
    async def ListSessionItems(
        self, request: pb.ListSessionItemsRequest, context: Context
    ) -> pb.ListSessionItemsResponse:
        """Run the code."""
        await self.unary()
        return pb.ListSessionItemsResponse()

    @override
    async def WatchSession(
        self, request: pb.WatchSessionRequest, context: Context
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """Yield what the code yields."""
        async for message in self.stream():
            yield message


@dataclass(frozen=True, slots=True)
class Raising:
    """Code for a script that fails."""

    error: Exception

    async def __call__(self) -> None:
        """Fail."""
        raise self.error


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens, and a channel to it."""

    server: Server
    port: int
    channel: grpc.aio.Channel


@asynccontextmanager
async def serving(
    script: Script | None = None,
    authenticator: Authenticator | None = None,
    door: Door = LOOPBACK,
    register: Registration | None = None,
) -> AsyncIterator[Running]:
    """Serve the script, or what is registered, to anybody unless an authenticator is given."""
    nobody = TokenAuthenticator([], Claims())
    scripted = partial(add_SessionServiceServicer_to_server, script or Script())
    server = build_server(
        door=door,
        registrations={SERVICE: register or scripted},
        authenticator=authenticator or OpenAuthenticator(nobody),
    )
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Running(server, port, channel)
    finally:
        await server.drain(0)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told of a failed call."""

    code: grpc.StatusCode
    message: str
    trailers: dict[str, str | bytes]
    status: status_pb2.Status = field(repr=False)

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The ErrorInfo, which is always there."""
        return self.detail(error_details_pb2.ErrorInfo)

    @property
    def violations(self) -> dict[str, str]:
        """What the BadRequest says of each field."""
        request = self.detail(error_details_pb2.BadRequest)
        return {one.field: one.description for one in request.field_violations}

    def detail(self, kind: type[Detail]) -> Detail:
        """Return the detail of this kind."""
        found = kind()
        assert any(detail.Unpack(found) for detail in self.status.details), self.status
        return found


async def failure_of(call: Awaitable[object]) -> Failure:
    """Return how the call fails; a test whose call succeeds fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    # The stubs tell of the metadata that calls outside asyncio have.
    trailing = cast("grpc.aio.Metadata", error.trailing_metadata())
    trailers: dict[str, str | bytes] = dict(trailing)
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    return Failure(error.code(), error.details() or "", trailers, status)


async def all_of(stream: AsyncIterable[Item]) -> list[Item]:
    """Read a stream to its end."""
    return [message async for message in stream]
