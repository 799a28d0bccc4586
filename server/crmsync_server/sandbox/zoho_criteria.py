"""Conditions over contacts, as COQL and bulk read have them."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from crmsync_server.sandbox.zoho_columns import Column, Value
from crmsync_server.sandbox.zoho_table import Contact

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


_LAST = (2**64,)  # beyond all ids


@dataclass(frozen=True, slots=True)
class Test:
    """One criterion. `operator` is one of COQL's; a contact without a value meets few."""

    __test__ = False  # no class of tests, whatever pytest thinks of its name

    column: Column
    operator: str
    values: tuple[Value, ...] = ()

    def holds(self, contact: Contact) -> bool:
        """Say whether a contact meets it."""
        held = self.column.of(contact)
        if self.operator == "is null":
            return held is None
        if self.operator == "is not null":
            return held is not None
        if held is None:
            return self.operator in {"!=", "not in", "not like"}
        return self._compares(held)

    def _compares(self, held: Value) -> bool:
        match self.operator:
            case "in":
                return held in self.values
            case "not in":
                return held not in self.values
            case "like":
                return _like(str(held), str(self.values[0]))
            case "not like":
                return not _like(str(held), str(self.values[0]))
            case _:
                return _COMPARISONS[self.operator](held, self.values[0])


@dataclass(frozen=True, slots=True)
class Group:
    """Criteria of which all must hold (`and`), or any (`or`)."""

    operator: str
    members: tuple["Test | Group", ...]

    def holds(self, contact: Contact) -> bool:
        """Say whether a contact meets it."""
        if self.operator == "and":
            return all(one.holds(contact) for one in self.members)
        return any(one.holds(contact) for one in self.members)


Criterion: TypeAlias = Test | Group


def count(criterion: Criterion) -> int:
    """Return of how many criteria this one is made."""
    if isinstance(criterion, Test):
        return 1
    return sum(count(one) for one in criterion.members)


def lowest(criterion: Criterion, name: str) -> Any:  # noqa: ANN401 - of the column's own type
    """Return a value below which a column meets the criterion nowhere; None if there is none."""
    return _bound(criterion, name, ("=", ">", ">="), max, min)


def first_key(criterion: Criterion, name: str) -> tuple[Any, ...] | None:
    """Return where in an order by a column, and then by id, the criterion is met the first time.

    So that a walk that goes on from the last record's time and id begins there.
    """
    if isinstance(criterion, Test):
        least = lowest(criterion, name)
        return None if least is None else (least, *_LAST[: criterion.operator == ">"])
    keys = [first_key(one, name) for one in criterion.members]
    known = [key for key in keys if key is not None]
    if criterion.operator == "or":
        return min(known) if len(known) == len(keys) else None
    pinned, least_id = listed(criterion, name), lowest(criterion, "id")
    if pinned is not None and len(pinned) == 1 and least_id is not None:
        known.append((pinned[0], least_id))
    return max(known, default=None)


def highest(criterion: Criterion, name: str) -> Any:  # noqa: ANN401 - of the column's own type
    """Return a value above which a column meets the criterion nowhere; None if there is none."""
    return _bound(criterion, name, ("=", "<", "<="), min, max)


def _bound(
    criterion: Criterion,
    name: str,
    operators: tuple[str, ...],
    tightest: Callable[[list[Any]], Any],
    loosest: Callable[[list[Any]], Any],
) -> Any:  # noqa: ANN401 - of the column's own type
    if isinstance(criterion, Test):
        bounds = criterion.column.name == name and criterion.operator in operators
        return criterion.values[0] if bounds else None
    found = [_bound(one, name, operators, tightest, loosest) for one in criterion.members]
    known = [one for one in found if one is not None]
    if criterion.operator == "and":
        return tightest(known) if known else None
    return loosest(known) if len(known) == len(found) else None


def listed(criterion: Criterion, name: str) -> tuple[Value, ...] | None:
    """Return the only values a column may have, where the criterion lists them."""
    if isinstance(criterion, Test):
        lists = criterion.column.name == name and criterion.operator in {"=", "in"}
        return criterion.values if lists else None
    if criterion.operator == "or":
        return None
    return next((one for one in (listed(part, name) for part in criterion.members) if one), None)


def _like(held: str, pattern: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("%"))
    return re.fullmatch(expression, held, re.DOTALL) is not None
