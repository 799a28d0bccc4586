"""How a simulated Mautic reads the query of GET /api/contacts."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TypeAlias

from starlette.datastructures import QueryParams

from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_fields import EMAIL
from crmsync_server.sandbox.mautic_instance import API_USER, Instance, InstanceContact, seconds
from crmsync_server.sandbox.timeline import between

Bounds: TypeAlias = tuple[int | None, int | None]
_WHERE = re.compile(r"where\[(\w+)\]\[(col|expr|val)\]")
_IDENTIFIED = "!is:anonymous"
_ADDED = frozenset({"dateAdded", "date_added"})
_MODIFIED = frozenset({"dateModified", "date_modified"})
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda held, sought: held.lower() == sought.lower(),
    "neq": lambda held, sought: bool(held) and held.lower() != sought.lower(),
    "gt": lambda held, sought: bool(held) and _number(held) > _number(sought),
    "gte": lambda held, sought: bool(held) and _number(held) >= _number(sought),
    "lt": lambda held, sought: bool(held) and _number(held) < _number(sought),
    "lte": lambda held, sought: bool(held) and _number(held) <= _number(sought),
    "like": lambda held, sought: bool(held) and _like(held, sought),
    "notLike": lambda held, sought: bool(held) and not _like(held, sought),
    "in": lambda held, sought: held.lower() in _listed(sought),
    "notIn": lambda held, sought: bool(held) and held.lower() not in _listed(sought),
    "between": lambda held, sought: bool(held) and _lies_between(held, sought),
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
        return _COMPARISONS[self.expr](_column(contact, self.col), self._sought())

    def bounds(self) -> Bounds | None:
        """Return what this says about an id or an instant; None if it says something else."""
        value = self._whole()
        if value is None or self.expr not in {"eq", "gt", "gte", "lt", "lte"}:
            return None
        low = value + 1 if self.expr == "gt" else value
        high = value - 1 if self.expr == "lt" else value
        return (
            None if self.expr in {"lt", "lte"} else low,
            None if self.expr in {"gt", "gte"} else high,
        )

    def _whole(self) -> int | None:
        if self.col == "id":
            return int(self.val) if self.val.isdecimal() else None
        if self.col in _ADDED | _MODIFIED:
            instant = _instant(self.val)
            return seconds(instant) if instant else None
        return None

    def _sought(self) -> str:
        instant = _instant(self.val) if self.col in _ADDED | _MODIFIED else None
        return _stamp(instant) if instant else self.val


def found(instance: Instance, query: QueryParams, *, others: bool) -> list[int]:
    """Return the ids of the contacts that are sought, ascending; the list is not to be changed.

    Args:
        instance: where to look.
        query: `where[n][col|expr|val]` and `search`.
        others: whether contacts are seen that other users created.

    Raises:
        MauticError: 500, as for SQL that fails: a condition without column, or not known here.
    """
    clauses = clauses_of(query)
    ids, rest = _candidates(instance, clauses)
    contacts = instance.contacts
    if rest:
        ids = [one for one in ids if all(clause.holds(contacts[one]) for clause in rest)]
    search = query.get("search", "")
    if search == _IDENTIFIED:
        if instance.anonymous:
            ids = [one for one in ids if one not in instance.anonymous]
    elif search:
        sought = search.removeprefix("email:").lower()
        ids = [one for one in ids if sought in contacts[one].values.get(EMAIL, "").lower()]
    return ids if others else [one for one in ids if contacts[one].created_by == API_USER]


def clauses_of(query: QueryParams) -> list[Clause]:
    """Read `where[n][col|expr|val]`.

    Raises:
        MauticError: 500, as for SQL that fails: a condition without column, or not known here.
    """
    parts: dict[str, dict[str, str]] = {}
    for name, value in query.items():
        if of := _WHERE.fullmatch(name):
            parts.setdefault(of[1], {})[of[2]] = value
    for part in parts.values():
        if "col" not in part or part.get("expr") not in _COMPARISONS:
            raise MauticError(500, "An exception occurred while executing a query.")
    return [Clause(**part) for part in parts.values()]


def page(instance: Instance, ids: list[int], query: QueryParams, default_limit: int) -> list[int]:
    """Return those of the ids found that are on the page asked for, in the order asked for."""
    column = query.get("orderBy", "id").removeprefix("l.")
    if column != "id":
        contacts = instance.contacts
        ids = sorted(ids, key=lambda number: _number(_column(contacts[number], column)))
    wanted = _page_of(query, default_limit)
    if query.get("orderByDir", "asc").lower() == "desc":
        return ids[::-1][wanted]
    return ids[wanted]


def _page_of(query: QueryParams, default_limit: int) -> slice:
    start, limit = query.get("start", "0"), query.get("limit", str(default_limit))
    if not (start.isdecimal() and limit.isdecimal()):
        raise MauticError(500, "An exception occurred while executing a query.")
    return slice(int(start), int(start) + int(limit))


def _candidates(instance: Instance, clauses: list[Clause]) -> tuple[list[int], list[Clause]]:
    """Return ids from an index, and the conditions that it leaves to be held against each."""
    ids: list[int] | None = None
    rest: list[Clause] = []
    limits: dict[str, Bounds] = {}
    for clause in clauses:
        if (bounds := clause.bounds()) is not None:
            name = _index_of(clause.col)
            limits[name] = _both(limits.get(name, (None, None)), bounds)
        elif ids is None and (holders := _holders(instance, clause)) is not None:
            ids = holders
        else:
            rest.append(clause)
    if ids is not None:
        return ids, clauses
    if "modified" in limits:
        ids = instance.modified.window(*limits["modified"])
        rest += [clause for clause in clauses if clause.col in _ADDED and clause not in rest]
    elif "added" in limits:
        ids = instance.added.window(*limits["added"])
    else:
        ids = instance.ids.ids
    return between(ids, *limits["id"]) if "id" in limits else ids, rest


def _holders(instance: Instance, clause: Clause) -> list[int] | None:
    """Return the ids of those with a unique value that a condition names; None for any other."""
    definition = instance.fields.get(clause.col)
    if definition is None or not definition.is_unique_identifier:
        return None
    if clause.expr == "eq":
        return instance.holders(clause.col, clause.val)
    if clause.expr == "in":
        held = (instance.holders(clause.col, value) for value in _listed(clause.val))
        return sorted({number for ids in held for number in ids})
    return None


def _index_of(column: str) -> str:
    return {"id": "id"}.get(column) or ("added" if column in _ADDED else "modified")


def _both(one: Bounds, other: Bounds) -> Bounds:
    lows = [low for low, _ in (one, other) if low is not None]
    highs = [high for _, high in (one, other) if high is not None]
    return (max(lows, default=None), min(highs, default=None))


def _column(contact: InstanceContact, column: str) -> str:
    if column == "id":
        return str(contact.id)
    if column in _ADDED:
        return _stamp(contact.date_added)
    if column in _MODIFIED:
        return _stamp(contact.date_modified) if contact.date_modified else ""
    return contact.values.get(column, "")


def _instant(value: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _stamp(instant: datetime) -> str:
    # As in the database: UTC, whole seconds.
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _listed(values: str) -> Iterable[str]:
    return next(csv.reader([values.lower()]), [])


def _like(held: str, pattern: str) -> bool:
    return fnmatchcase(held.lower(), pattern.lower().replace("%", "*").replace("_", "?"))


def _lies_between(held: str, bounds: str) -> bool:
    low, _, high = bounds.partition(",")
    return _number(low) <= _number(held) <= _number(high)


def _number(value: str) -> tuple[float, str]:
    """Return what orders values: numbers by their size, anything else as text."""
    return (float(value), "") if value.isdecimal() else (0.0, value.lower())
