"""Reads Mautic's reply to a batch, record by record: 201 says nothing about any of them.

Maps keyed by the place of the record are printed by PHP as lists when no key is missing.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from crmsync_server.crm.mautic_errors import outcome_of, reason
from crmsync_server.crm.mautic_rows import Row, email_of, note
from crmsync_server.crm.outcomes import Outcome, Retry, Synced, Unknown
from crmsync_server.crm.replies import Reply, brief, count, mapping, text

Value = TypeVar("Value")

_WRITTEN = frozenset({"", "200", "201"})


def indexed(value: object, own_key: str = "") -> dict[int, Mapping[str, object]]:
    """Return the objects of a map or of a list by number; what has none is left out.

    own_key: under which an object of a list has its number; without one its place counts.
    """
    found = {at: mapping(entry) for at, entry in _numbered(value).items()}
    if own_key and isinstance(value, list):
        return _whole({text(entry.get(own_key)): entry for entry in found.values()})
    return {at: entry for at, entry in found.items() if entry}


def _numbered(value: object) -> Mapping[int, object]:
    if isinstance(value, list):
        return dict(enumerate(value))
    return _whole(mapping(value))


def _whole(named: Mapping[str, Value]) -> dict[int, Value]:
    """Return what has a whole number for its name."""
    numbers = {name: count(name) for name in named}
    return {number: named[name] for name, number in numbers.items() if number is not None}


def account(call: Sequence[Row], reply: Reply) -> list[Outcome]:
    """Match statuses, errors and contacts to rows; what stays unmatched was not accounted for."""
    contacts = indexed(reply.fields.get("contacts"))
    errors = indexed(reply.fields.get("errors"))
    statuses = _numbered(reply.fields.get("statusCodes"))
    by_email = {email_of(contact): contact for contact in contacts.values()}
    found: list[Outcome] = []
    for at, row in enumerate(call):
        status = text(statuses.get(at))
        if status not in _WRITTEN or (not status and at in errors):
            found.append(outcome_of({"code": status, **errors.get(at, {})}))
        elif row.email in by_email:
            found.append(held(row, by_email[row.email]))
        else:
            found.append(_missing(reply, contact=contacts.get(at)))
    return found


def held(row: Row, contact: Mapping[str, object]) -> Outcome:
    """Return what a row ends in whose contact a reply shows."""
    record_id = text(contact.get("id"))
    if not record_id:
        return Retry("UNACCOUNTED", "Mautic's reply shows the contact without an id")
    if email_of(contact) != row.email:
        return Unknown("Mautic's reply shows a contact with another address")
    return Synced(record_id, note=note(row, contact))


def _missing(reply: Reply, contact: Mapping[str, object] | None) -> Outcome:
    if contact is not None:
        return Unknown("Mautic's reply shows a contact with another address in its place")
    errors = indexed(reply.fields.get("errors")).values()
    words = "; ".join(filter(None, map(reason, errors)))
    message = f"Mautic's reply (HTTP {reply.status}) does not account for this record. {words}"
    return Retry("UNACCOUNTED", brief(message))
