"""Session records: what became of each record that a session read, and the session's counts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import column, document, fetch
from crmsync_server.store.states import RecordAction


class SessionRecord(NamedTuple):
    """One record that was read, in the order of note.sql's parameters.

    key: the CRM's id for it.
    action: None where it is gone at the CRM and not dealt with yet.
    contact_version, fingerprint: what a plan was made of; None where nothing was planned.
    fields: the fields that differed: field, base, ours, theirs, result; None where not kept.
    """

    key: str
    action: RecordAction | None
    contact_id: UUID | None = None
    contact_version: int | None = None
    fingerprint: bytes | None = None
    fields: Sequence[Mapping[str, Any]] | None = None
    error_code: str | None = None
    error_message: str | None = None


class Tally(NamedTuple):
    """How many records were counted, in the order of note.sql's columns.

    Negative where others are not counted so any more.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    conflicts: int = 0
    deleted: int = 0
    skipped: int = 0
    errors: int = 0


_COLUMNS = (
    *("keys", "actions", "contact_ids", "contact_versions", "fingerprints", "fields"),
    *("error_codes", "error_messages"),
)


async def note(
    connection: AsyncConnection, org_id: str, session_id: UUID, records: Sequence[SessionRecord]
) -> Tally:
    """Note what became of records, each key once, and count it in the session.

    The caller holds the session's run.
    """
    columns = dict(zip(_COLUMNS, map(list, zip(*records, strict=True)), strict=True))
    columns["fields"] = [None if one is None else document(one) for one in columns["fields"]]
    told = {name: column(values) for name, values in columns.items()}
    parameters = {"org_id": org_id, "session_id": session_id, **told}
    [row] = await fetch(connection, "session_record/note", parameters)
    return Tally._make(row)
