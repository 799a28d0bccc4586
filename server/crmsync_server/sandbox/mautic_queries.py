"""How a simulated Mautic reads the query of GET /api/contacts."""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.datastructures import QueryParams

from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_fields import EMAIL
from crmsync_server.sandbox.mautic_instance import InstanceContact

_WHERE = re.compile(r"where\[(\w+)\]\[(col|expr|val)\]")
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda held, sought: held.lower() == sought.lower(),
    "neq": lambda held, sought: held.lower() != sought.lower(),
    "gt": lambda held, sought: bool(held) and _number(held) > _number(sought),
    "gte": lambda held, sought: bool(held) and _number(held) >= _number(sought),
    "lt": lambda held, sought: bool(held) and _number(held) < _number(sought),
    "lte": lambda held, sought: bool(held) and _number(held) <= _number(sought),
    "in": lambda held, sought: held.lower() in next(csv.reader([sought.lower()]), []),
    "isNull": lambda held, _: not held,
    "isNotNull": lambda held, _: bool(held),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition: a column, a comparison and the value to compare with."""

    col: str
    expr: str
    val: str = ""

    def holds(self, contact: InstanceContact) -> bool:
        """Say whether a contact meets the condition; no column with no value is compared."""
        return _COMPARISONS[self.expr](_column(contact, self.col), self.val)


def matches(contact: InstanceContact, query: QueryParams, clauses: list[Clause]) -> bool:
    """Say whether a contact is sought: by `search` and by every condition."""
    search = query.get("search", "").removeprefix("email:").lower()
    email = contact.values.get(EMAIL, "").lower()
    known = any(contact.values.values())
    found = known if search == "!is:anonymous" else search in email
    return found and all(clause.holds(contact) for clause in clauses)


def clauses_of(query: QueryParams) -> list[Clause]:
    """Read `where[n][col|expr|val]`.

    Raises:
        MauticError: 500, as for SQL that fails: a condition without column, or not known here.
    """
    parts: dict[str, dict[str, str]] = {}
    for name, value in query.items():
        if found := _WHERE.fullmatch(name):
            parts.setdefault(found[1], {})[found[2]] = value
    for part in parts.values():
        if "col" not in part or part.get("expr") not in _COMPARISONS:
            raise MauticError(500, "An exception occurred while executing a query.")
    return [Clause(**part) for part in parts.values()]


def sorted_by(contacts: list[InstanceContact], query: QueryParams) -> list[InstanceContact]:
    """Return contacts in the order asked for, of creation by default."""
    column = query.get("orderBy", "id")
    reverse = query.get("orderByDir", "asc").lower() == "desc"
    return sorted(contacts, key=lambda contact: _number(_column(contact, column)), reverse=reverse)


def page_of(query: QueryParams, default_limit: int) -> slice:
    """Return which of the contacts found are asked for, by `start` and `limit`."""
    start, limit = query.get("start", "0"), query.get("limit", str(default_limit))
    if not (start.isdecimal() and limit.isdecimal()):
        raise MauticError(500, "An exception occurred while executing a query.")
    return slice(int(start), int(start) + int(limit))


def _column(contact: InstanceContact, column: str) -> str:
    match column:
        case "id":
            return str(contact.id)
        case "dateAdded" | "date_added":
            return _stamp(contact.date_added)
        case "dateModified" | "date_modified":
            return _stamp(contact.date_modified) if contact.date_modified else ""
        case _:
            return contact.values.get(column, "")


def _stamp(instant: datetime) -> str:
    # As in the database: UTC, whole seconds.
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _number(value: str) -> tuple[float, str]:
    """Return what orders values: numbers by their size, anything else as text."""
    return (float(value), "") if value.isdecimal() else (0.0, value.lower())
