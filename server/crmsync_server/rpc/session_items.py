"""The items of a session as messages, and the list of them page by page."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import contact_sync_pb2, session_item_pb2, session_pb2
from crmsync.v1.session_service_pb2 import ListSessionItemsRequest
from crmsync_server.errors import InvalidPageTokenError
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.paging import cursor_of
from crmsync_server.store import session
from crmsync_server.store.session import Place

_PREFIX = "SESSION_ITEM_OUTCOME_"
_PARTS = ("PULL", "PLAN", "PUSH")


def place_of(request: ListSessionItemsRequest) -> Place:
    """Read where a page begins; raises InvalidPageTokenError."""
    cursor = cursor_of(request)
    if cursor is None:
        return Place(_PARTS[0])
    try:
        part, after = cursor
    except ValueError as error:
        raise InvalidPageTokenError from error
    if part not in _PARTS:
        raise InvalidPageTokenError
    return Place(part, after)


def outcomes_of(request: ListSessionItemsRequest) -> Sequence[str] | None:
    """Read which outcomes are asked for; None means any."""
    if session_item_pb2.SESSION_ITEM_OUTCOME_UNSPECIFIED in request.outcomes:
        return None
    names = map(session_item_pb2.SessionItemOutcome.Name, request.outcomes)
    return [name.removeprefix(_PREFIX) for name in names] or None


async def page(
    connection: AsyncConnection,
    org_id: str,
    request: ListSessionItemsRequest,
    size: int,
) -> Sequence[tuple[Place, sa.Row[Any]]]:
    """Return up to size items after the request's place, each with its own."""
    place = place_of(request)
    found: list[tuple[Place, sa.Row[Any]]] = []
    session_id, outcomes = UUID(request.session_id), outcomes_of(request)
    for part in _PARTS[_PARTS.index(place.part) :]:
        start = place if part == place.part else Place(part)
        rows = await session.items(
            connection, org_id, session_id, start, outcomes=outcomes, size=size - len(found)
        )
        found += [(Place(part, row.key), row) for row in rows]
        if len(found) >= size:
            break
    return found


def message(row: sa.Row[Any]) -> session_item_pb2.SessionItem:
    """Turn a row of session.items into its message."""
    return session_item_pb2.SessionItem(
        contact_id=str(row.contact_id) if row.contact_id else "",
        crm_contact_id=row.crm_contact_id or "",
        direction=session_pb2.SyncDirection.Value(f"SYNC_DIRECTION_{row.direction}"),
        outcome=session_item_pb2.SessionItemOutcome.Value(f"{_PREFIX}{row.outcome}"),
        error=_error(row),
        attempt=row.attempt,
        end_time=timestamp(row.end_time),
        differences=[_difference(one) for one in _differences(row)],
        removal=row.removing,
    )


def _differences(row: sa.Row[Any]) -> Sequence[Mapping[str, Any]]:
    # What is kept of a record while a plan is applied is a single object, and nobody's business.
    return row.fields if isinstance(row.fields, list) else ()


def _difference(field: Mapping[str, Any]) -> session_item_pb2.FieldDifference:
    return session_item_pb2.FieldDifference(
        field=field["field"],
        base=field.get("base"),
        ours=field["ours"],
        theirs=field["theirs"],
        result=field.get("result"),
    )


def _error(row: sa.Row[Any]) -> contact_sync_pb2.SyncError | None:
    code = row.error_code or row.skip_reason
    if code is None:
        return None
    return contact_sync_pb2.SyncError(code=code, message=row.error_message or "")
