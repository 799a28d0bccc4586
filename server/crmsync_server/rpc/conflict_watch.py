"""What WatchConflicts reads in a request, and says in its messages."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import conflict_pb2, heartbeat_pb2
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.conflict_messages import conflict
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store import conflict_log
from crmsync_server.store.db import Database
from crmsync_server.store.place import Place, Start, named, token

_HEARTBEAT = 10.0  # seconds; the longest silence of a stream
_PAGE = 500


class Watch(Protocol):
    """Where changes of conflicts come from; see sync.events."""

    def __call__(
        self, org_id: str, start: Start, crm: str | None, patience: float
    ) -> AsyncGenerator[tuple[conflict_pb2.Conflict | None, str]]:
        """Yield conflicts, and None as a sign of life; each with the token of its place."""


async def stream(
    database: Database, watch: Watch, request: pb.WatchConflictsRequest, now: Callable[[], datetime]
) -> AsyncGenerator[pb.WatchConflictsResponse]:
    """Yield what a call of WatchConflicts answers; raises InvalidRequestError."""
    org_id, crm, resume_token = current_caller().org_id, request.crm or None, request.resume_token
    if not resume_token:
        async with aclosing(_opened(database, org_id, crm)) as opened:
            async for view, resume_token in opened:
                if view is not None:
                    yield _message(view, resume_token)
    start = _start(org_id, resume_token)
    async with aclosing(watch(org_id, start, crm, _HEARTBEAT)) as told:
        async for view, resume_token in told:
            if view is not None:
                yield _message(view, resume_token)
            else:
                heartbeat = heartbeat_pb2.Heartbeat(send_time=timestamp(now()))
                yield pb.WatchConflictsResponse(heartbeat=heartbeat, resume_token=resume_token)


async def _opened(
    database: Database, org_id: str, crm: str | None
) -> AsyncGenerator[tuple[conflict_pb2.Conflict | None, str]]:
    """Yield the conflicts that are open now; last of all None, and the token to go on with.

    One that changes meanwhile may be missing: it moves behind that token.
    """
    async with database.org(org_id) as connection:
        bounds = await conflict_log.bounds(connection)
        until = await conflict_log.last(connection, org_id, bounds)

    def token_of(place: Place) -> str:
        return token(conflict_log.scope(org_id), bounds.system, place)

    after, more = bounds.oldest, True
    while more:
        async with database.org(org_id) as connection:
            rows = await conflict_log.opened(connection, org_id, crm, (after, until), size=_PAGE)
        for row in rows:
            after = conflict_log.place_of(row)
            yield conflict(row), token_of(after)
        more = len(rows) == _PAGE
    yield None, token_of(until)


def _message(view: conflict_pb2.Conflict, resume_token: str) -> pb.WatchConflictsResponse:
    # A copy is made of the view, which others who watch are sent as well.
    message = pb.WatchConflictsResponse(conflict=view, resume_token=resume_token)
    message.conflict.resume_token = resume_token
    return message


def _start(org_id: str, resume_token: str) -> Start:
    told = named(conflict_log.scope(org_id), resume_token)
    if told is None:
        description = "must be one that a conflict of this organization carried, or unset"
        raise InvalidRequestError([Violation("resume_token", "resume_token", description)])
    return Start(told)
