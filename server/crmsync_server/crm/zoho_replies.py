"""Reads Zoho's reply to a batch, record by record: the HTTP status says nothing about any of them.

A reply names records by their place alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum

from crmsync_server.crm.outcomes import Outcome, Retry, Synced, Unknown
from crmsync_server.crm.replies import Reply, iso_time, mapping, text
from crmsync_server.crm.zoho_errors import code, entries, is_gone, is_taken, outcome_of
from crmsync_server.crm.zoho_rows import EMAIL, Row


class Turn(Enum):
    """That a record must be written another way."""

    GONE = "there is no record under its id any more"
    TAKEN = "another record has its address, which is unique in this Zoho"


Result = Outcome | Turn


def account(call: Sequence[Row], reply: Reply, now: datetime) -> list[Result]:
    """Match entries to rows by their place; a row without one was not accounted for."""
    told = entries(reply)
    if len(told) > len(call):
        # Whose they are cannot be known then: records may have been written, so it is no success.
        message = f"Zoho's reply has {len(told)} entries for {len(call)} records"
        return [Retry("UNACCOUNTED", message) for _ in call]
    found: list[Result] = [_result(row, entry, now) for row, entry in zip(call, told, strict=False)]
    missing = f"Zoho's reply (HTTP {reply.status}) does not account for this record"
    return [*found, *(Retry("UNACCOUNTED", missing) for _ in call[len(told) :])]


def _result(row: Row, entry: Mapping[str, object], now: datetime) -> Result:
    details = mapping(entry.get("details"))
    if code(entry) == "SUCCESS" and text(entry.get("status")).lower() != "error":
        return _synced(row, details)
    if row.record_id and is_gone(entry):
        return Turn.GONE
    if row.record_id and is_taken(entry, EMAIL):
        return Turn.TAKEN
    return outcome_of(entry, now)


def _synced(row: Row, details: Mapping[str, object]) -> Outcome:
    record_id = text(details.get("id"))
    if not record_id:
        return Retry("UNACCOUNTED", "Zoho's reply names no record")
    if row.record_id and record_id != row.record_id:
        return Unknown("Zoho's reply names another record in its place")
    return Synced(record_id, note=row.note, modified_time=iso_time(details.get("Modified_Time")))
