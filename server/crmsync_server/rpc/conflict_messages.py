"""Conflicts: rows as messages."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import conflict_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.states import ConflictState


def conflict(row: sa.Row[Any], resume_token: str = "") -> pb.Conflict:
    """Turn a row of conflicts into its message."""
    results = row.resolution or {}
    return pb.Conflict(
        id=str(row.id),
        contact_id=str(row.contact_id),
        crm=row.crm,
        crm_contact_id=row.crm_contact_id,
        state=pb.ConflictState.Value(f"CONFLICT_STATE_{row.state}"),
        fields=[_field(one, results) for one in row.fields],
        ours_time=timestamp(row.ours_time),
        theirs_time=timestamp(row.theirs_time),
        session_id=str(row.session_id or ""),
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        resolve_time=timestamp(row.resolve_time),
        resolver=row.resolver or "",
        resolve_session_id=str(row.resolve_session_id or ""),
        resume_token=resume_token,
    )


def state_of(value: pb.ConflictState.ValueType) -> ConflictState | None:
    """Read a filter's state; None when it is unset."""
    if not value:
        return None
    return ConflictState(pb.ConflictState.Name(value).removeprefix("CONFLICT_STATE_"))


def _field(told: Mapping[str, Any], results: Mapping[str, str]) -> pb.FieldConflict:
    return pb.FieldConflict(
        field=told["field"],
        base=told.get("base"),
        ours=told["ours"],
        theirs=told["theirs"],
        result=results.get(told["field"]),
    )
