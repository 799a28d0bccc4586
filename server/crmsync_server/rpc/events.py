"""What WatchEvents reads in a request, and says in its messages."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from crmsync.v1 import attempt_pb2, contact_sync_pb2, heartbeat_pb2, sync_event_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.place import Named, Start, named

_HEARTBEAT = 10.0  # seconds; the longest silence of a stream


class Watch(Protocol):
    """Where events come from; see sync.events."""

    def __call__(
        self, org_id: str, start: Start, crm: str | None, patience: float
    ) -> AsyncGenerator[tuple[sync_event_pb2.SyncEvent | None, str]]:
        """Yield events, and None as a sign of life; each with the token of the place after it."""


def sync_event(row: sa.Row[Any]) -> sync_event_pb2.SyncEvent:
    """Turn a row of sync_attempts into its event."""
    return sync_event_pb2.SyncEvent(
        contact_id=str(row.contact_id),
        crm=row.crm,
        attempt=row.attempt,
        outcome=outcome(row.outcome),
        start_time=timestamp(row.start_time),
        end_time=timestamp(row.end_time),
        error=error(row),
        request_id=row.request_id or "",
        skip_reason=row.skip_reason or "",
        crm_contact_id=row.crm_contact_id or "",
        next_retry_time=timestamp(row.next_retry_time),
        contact_version=row.contact_version,
    )


def outcome(name: str) -> attempt_pb2.AttemptOutcome.ValueType:
    """Turn the name of an outcome, as the history keeps it, into its value."""
    return attempt_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{name}")


def error(row: sa.Row[Any]) -> contact_sync_pb2.SyncError | None:
    """Return what went wrong in an attempt; None when nothing did."""
    if row.error_code is None:
        return None
    return contact_sync_pb2.SyncError(
        code=row.error_code, message=row.error_message or "", request_id=row.request_id or ""
    )


async def stream(
    watch: Watch, request: pb.WatchEventsRequest, clock: Callable[[], datetime]
) -> AsyncGenerator[pb.WatchEventsResponse]:
    """Yield what a call of WatchEvents answers; raises InvalidRequestError."""
    org_id = current_caller().org_id
    start = Start(_token(request, org_id), request.from_beginning)
    async with aclosing(watch(org_id, start, request.crm or None, _HEARTBEAT)) as told:
        async for view, token in told:
            if view is not None:
                yield pb.WatchEventsResponse(sync_event=view, resume_token=token)
            else:
                heartbeat = heartbeat_pb2.Heartbeat(send_time=timestamp(clock()))
                yield pb.WatchEventsResponse(heartbeat=heartbeat, resume_token=token)


def _token(request: pb.WatchEventsRequest, org_id: str) -> Named | None:
    if not request.resume_token:
        return None
    told = named(org_id, request.resume_token)
    if told is None:
        description = "must be one that a message of this organization's stream carried, or unset"
        raise InvalidRequestError([Violation("resume_token", "resume_token", description)])
    return told
