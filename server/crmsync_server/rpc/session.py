"""SessionService: start sessions, follow them to their end, and steer them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import heartbeat_pb2, session_pb2, session_service_pb2_grpc
from crmsync.v1 import session_service_pb2 as pb
from crmsync_server.errors import (
    InvalidPageTokenError,
    InvalidRequestError,
    SessionEndedError,
    Violation,
)
from crmsync_server.rpc import forecast, session_items
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.forecast import Foresee
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.rpc.session_pull import Besides
from crmsync_server.rpc.session_steps import Steps
from crmsync_server.store import session
from crmsync_server.store.db import Database
from crmsync_server.store.states import SessionState


class Watch(Protocol):
    """Where the newest states of sessions come from; see sync.progress."""

    def __call__(
        self, org_id: str, session_id: UUID, after_revision: int, patience: float
    ) -> AsyncGenerator[pb.WatchSessionResponse | None]:
        """Yield the session's state, then newer ones, last the final one; None after a silence."""


@dataclass(frozen=True, slots=True)
class SessionService(session_service_pb2_grpc.SessionServiceServicer):
    """Reads sessions, cancels them, and passes on what the hub sees.

    on_moved: told of (org_id, session_id) after a commit that moved a session.
    foresee: makes the forecasts of sessions that have not ended.
    steps: starts, pauses and validates.
    heartbeat: the longest silence on a watch, in seconds.
    """

    database: Database
    watch: Watch
    clock: Callable[[], datetime]
    on_moved: Callable[[str, UUID], None]
    foresee: Foresee
    steps: Steps
    heartbeat: float = 10.0

    @override
    async def StartSession(
        self, request: pb.StartSessionRequest, context: Context
    ) -> pb.StartSessionResponse:
        """Start a synchronization; see the contract."""
        return await self.steps.start(request)

    @override
    async def ValidateSession(
        self, request: pb.ValidateSessionRequest, context: Context
    ) -> pb.ValidateSessionResponse:
        """Look for what would keep a synchronization from going well; see the contract."""
        return await self.steps.validate(request)

    @override
    async def PauseSession(
        self, request: pb.PauseSessionRequest, context: Context
    ) -> pb.PauseSessionResponse:
        """Pause a session; see the contract."""
        row = await self.steps.pause(request.session_id)
        (told,) = await self._told(row.org_id, [row])
        return pb.PauseSessionResponse(session=told)

    @override
    async def ResumeSession(
        self, request: pb.ResumeSessionRequest, context: Context
    ) -> pb.ResumeSessionResponse:
        """Let a paused session go on; see the contract."""
        row = await self.steps.resume(request.session_id)
        (told,) = await self._told(row.org_id, [row])
        return pb.ResumeSessionResponse(session=told)

    @override
    async def ListSessionItems(
        self, request: pb.ListSessionItemsRequest, context: Context
    ) -> pb.ListSessionItemsResponse:
        """List what became of a session's contacts and records; see the contract."""
        caller, size = current_caller(), page_size(request.page_size)
        async with self.database.org(caller.org_id) as connection:
            await session.get(connection, caller.org_id, UUID(request.session_id))
            found = await session_items.page(connection, caller.org_id, request, size + 1)
        told = fitting(session_items.message(row) for _, row in found[:size])
        more = len(found) > len(told)
        last = found[len(told) - 1][0] if told else None
        return pb.ListSessionItemsResponse(
            items=told,
            next_page_token=page_token(request, [last.part, last.after]) if more and last else "",
        )

    @override
    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        """Return a session; see the contract."""
        caller = current_caller()
        async with self.database.org(caller.org_id) as connection:
            row = await session.get(connection, caller.org_id, UUID(request.session_id))
        (told,) = await self._told(caller.org_id, [row])
        return pb.GetSessionResponse(session=told)

    @override
    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """List sessions, newest first; see the contract."""
        caller, size = current_caller(), page_size(request.page_size)
        before_id = _before_id(request)
        async with self.database.org(caller.org_id) as connection:
            rows = await session.list(
                connection,
                caller.org_id,
                _filter(request),
                size=size + 1,
                before_id=before_id,
            )
        page, more = rows[:size], len(rows) > size
        return pb.ListSessionsResponse(
            sessions=await self._told(caller.org_id, page),
            next_page_token=page_token(request, [str(page[-1].id)]) if more else "",
        )

    @override
    async def CancelSession(
        self, request: pb.CancelSessionRequest, context: Context
    ) -> pb.CancelSessionResponse:
        """Cancel a session; see the contract."""
        caller, session_id = current_caller(), UUID(request.session_id)
        async with self.database.org(caller.org_id) as connection:
            row = await session.cancel(connection, caller.org_id, session_id)
        if row.state in {SessionState.SUCCEEDED, SessionState.FAILED}:
            raise SessionEndedError(request.session_id, row.state)
        self.on_moved(caller.org_id, session_id)
        (told,) = await self._told(caller.org_id, [row])
        return pb.CancelSessionResponse(session=told)

    @override
    async def WatchSession(
        self, request: pb.WatchSessionRequest, context: Context
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """Watch a session until its end; see the contract."""
        caller = current_caller()
        seen = _revision(request)
        states = self.watch(caller.org_id, UUID(request.session_id), seen, self.heartbeat)
        async with aclosing(states):
            async for state in states:
                yield state or self._heartbeat()

    async def _told(
        self, org_id: str, rows: Sequence[sa.Row[Any]]
    ) -> Sequence[session_pb2.Session]:
        def transaction() -> AbstractAsyncContextManager[AsyncConnection]:
            return self.database.org(org_id)

        expected = await self.foresee(rows, transaction)
        besides = await Besides.of(rows, transaction)
        return [forecast.session(row, expected.get((org_id, row.id)), besides) for row in rows]

    def _heartbeat(self) -> pb.WatchSessionResponse:
        return pb.WatchSessionResponse(
            heartbeat=heartbeat_pb2.Heartbeat(send_time=timestamp(self.clock()))
        )


def _filter(request: pb.ListSessionsRequest) -> session.Filter:
    names = [session_pb2.SessionState.Name(state) for state in request.states]
    any_state = session_pb2.SESSION_STATE_UNSPECIFIED in request.states
    states = [] if any_state else [name.removeprefix("SESSION_STATE_") for name in names]
    kind = session_pb2.SessionKind.Name(request.kind).removeprefix("SESSION_KIND_")
    return session.Filter(
        states=states or None, kind=kind if request.kind else None, crm=request.crm or None
    )


def _before_id(request: pb.ListSessionsRequest) -> UUID | None:
    cursor = cursor_of(request)
    try:
        return UUID(cursor[0]) if cursor else None
    except ValueError as error:
        raise InvalidPageTokenError from error


def _revision(request: pb.WatchSessionRequest) -> int:
    if not request.resume_token:
        return 0
    revision = session.revision_of(request.resume_token, UUID(request.session_id))
    if revision is None:
        description = "must be one that this very session carried, or unset"
        raise InvalidRequestError([Violation("resume_token", "resume_token", description)])
    return revision
