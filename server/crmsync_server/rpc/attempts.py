"""What ListAttempts says: the entries of a contact's story, and what it waits for."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1 import attempt_pb2, session_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_server.errors import ContactNotFoundError, InvalidPageTokenError
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.events import error, outcome
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.store import attempt, queue
from crmsync_server.store.attempt import MOST_AHEAD, Spot
from crmsync_server.store.db import Database

_SLOWEST = 0.01  # records per second, as in rpc.estimate
_NO_ALLOWANCE = "QUOTA_EXHAUSTED"  # what an adapter's call postpones with when nothing is granted

Waits = tuple[attempt_pb2.WaitReason.ValueType, str, str, datetime | None]


async def page(
    database: Database, crms: Crms, clock: Callable[[], datetime], request: pb.ListAttemptsRequest
) -> pb.ListAttemptsResponse:
    """Answer a call of ListAttempts; raises ContactNotFoundError, InvalidPageTokenError."""
    org_id, contact_id = current_caller().org_id, UUID(request.contact_id)
    crm, size, after = request.crm or None, page_size(request.page_size), _spot(request)
    async with database.org(org_id) as connection:
        if not await queue.refusals(connection, org_id, [contact_id]):
            raise ContactNotFoundError(request.contact_id)
        rows = await attempt.list(
            connection, org_id, contact_id, crm=crm, size=size + 1, after=after
        )
        waits = await attempt.waiting(connection, org_id, contact_id, crm)
    events = fitting(_event(row) for row in rows[:size])
    more = len(events) < len(rows)
    traits = {row.crm: await crms.traits(row.crm) for row in waits if row.crm in crms.known}
    return pb.ListAttemptsResponse(
        events=events,
        next_page_token=_next_token(request, rows[len(events) - 1]) if more else "",
        waiting=[waiting(row, traits.get(row.crm), clock()) for row in waits],
    )


def _event(row: sa.Row[Any]) -> attempt_pb2.AttemptEvent:
    """Turn an entry of a story into its message."""
    told = attempt_pb2.AttemptEvent(crm=row.crm, event_time=timestamp(row.event_time))
    if row.event == "QUEUED":
        told.queued.session_id = str(row.session_id)
        told.queued.creator = row.creator
        told.queued.kind = session_pb2.SessionKind.Value(f"SESSION_KIND_{row.kind}")
    elif row.event == "CANCELLED":
        told.cancelled.session_id = str(row.session_id)
    else:
        told.attempt.CopyFrom(_attempt(row))
    return told


def _attempt(row: sa.Row[Any]) -> attempt_pb2.Attempt:
    return attempt_pb2.Attempt(
        number=row.attempt,
        outcome=outcome(row.outcome) if row.outcome else attempt_pb2.ATTEMPT_OUTCOME_UNSPECIFIED,
        start_time=timestamp(row.start_time),
        end_time=timestamp(row.end_time),
        error=error(row),
        request_id=row.request_id or "",
        skip_reason=row.skip_reason or "",
        crm_contact_id=row.crm_contact_id or "",
        next_retry_time=timestamp(row.next_retry_time),
        contact_version=row.contact_version,
        server=row.lease_owner or "",
        removal=bool(row.removal),
    )


def waiting(row: sa.Row[Any], traits: CrmTraits | None, now: datetime) -> attempt_pb2.Waiting:
    """Tell what a contact waits for at a CRM: the first reason that holds.

    row: of store.attempt.waiting.
    traits: None when this server does not know the CRM.
    """
    reason, code, message, until = _waits(row, traits, now)
    told = attempt_pb2.Waiting(
        crm=row.crm, reason=reason, code=code, message=message, until_time=timestamp(until)
    )
    if reason == attempt_pb2.WAIT_REASON_BEHIND_OTHERS:
        told.ahead_count = row.ahead
    if reason == attempt_pb2.WAIT_REASON_BEING_DELIVERED:
        told.server = row.lease_owner or ""
    if reason == attempt_pb2.WAIT_REASON_SESSION_PAUSED:
        told.session_id = str(row.paused_session_id)
    return told


def _waits(row: sa.Row[Any], traits: CrmTraits | None, now: datetime) -> Waits:
    if row.delivering and row.check_time is None:
        message = f"being delivered since {_when(row.claim_time)}"
        return attempt_pb2.WAIT_REASON_BEING_DELIVERED, "", message, None
    if row.delivering:
        message = "accepted by the CRM, which is asked what became of it"
        return attempt_pb2.WAIT_REASON_ACCEPTED, "", message, row.check_time
    if row.paused_session_id is not None:
        message = f"session {row.paused_session_id} is paused"
        return attempt_pb2.WAIT_REASON_SESSION_PAUSED, "", message, None
    if traits is None or not traits.enabled:
        message = f"{row.crm} has no credentials here, or is switched off"
        return attempt_pb2.WAIT_REASON_LANE_PAUSED, "CRM_DISABLED", message, None
    return _waits_in_lane(row, traits, now)


def _waits_in_lane(row: sa.Row[Any], traits: CrmTraits, now: datetime) -> Waits:
    if row.paused and row.pause_code != _NO_ALLOWANCE:
        code, message = row.pause_code or "", row.pause_message or "the lane is paused"
        return attempt_pb2.WAIT_REASON_LANE_PAUSED, code, message, row.paused_until
    if row.due_time is not None:
        message = f"due at {_when(row.due_time)}"
        return attempt_pb2.WAIT_REASON_NOT_DUE, "", message, row.due_time
    if row.bucket is not None or row.paused:
        message = f"what {row.crm} allows is used up for now"
        until = row.blocked_until or row.paused_until
        return attempt_pb2.WAIT_REASON_QUOTA, row.bucket or "", message, until
    rate = max(row.records_per_second or traits.records_per_second, _SLOWEST)
    until = now + timedelta(seconds=(row.ahead + 1) / rate)
    return attempt_pb2.WAIT_REASON_BEHIND_OTHERS, "", _ahead(row.ahead), until


def _ahead(count: int) -> str:
    if count >= MOST_AHEAD:
        return f"at least {count:,} others are ahead of it"
    return f"{count:,} others are ahead of it" if count else "the next to be delivered"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _spot(request: pb.ListAttemptsRequest) -> Spot | None:
    """Return where the request's page begins; raises InvalidPageTokenError."""
    cursor = cursor_of(request)
    if cursor is None:
        return None
    try:
        time, key = cursor
        return Spot(datetime.fromisoformat(time), key)
    except ValueError as invalid:
        raise InvalidPageTokenError from invalid


def _next_token(request: pb.ListAttemptsRequest, last: sa.Row[Any]) -> str:
    """Return the token of the page after this entry."""
    return page_token(request, [last.event_time.isoformat(), last.key])
