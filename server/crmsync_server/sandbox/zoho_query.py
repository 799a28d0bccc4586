"""Finding what a query asks for without looking at every contact, where an order helps."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import islice

from crmsync_server.sandbox.zoho_columns import Value, column
from crmsync_server.sandbox.zoho_coql import Query
from crmsync_server.sandbox.zoho_criteria import Criterion, first_key, highest, listed, lowest
from crmsync_server.sandbox.zoho_fields import EMAIL, Field
from crmsync_server.sandbox.zoho_table import ORDERS, Contact, Table

_BEYOND_IDS = 2**64
_FEW = 8  # a range of an eighth of all is sorted rather than all walked through


def run(table: Table, query: Query, fields: Mapping[str, Field]) -> tuple[list[Contact], bool]:
    """Return the contacts asked for, in order, and whether there are more after them."""
    found = _in_order(table, query, fields)
    stop = query.offset + query.limit
    page = list(islice(found, query.offset, stop + 1))
    return page[: query.limit], len(page) > query.limit


def _in_order(table: Table, query: Query, fields: Mapping[str, Field]) -> Iterable[Contact]:
    holds = query.criterion.holds
    walked = _walked(query)
    few = _few(table, query.criterion)
    if few is None and walked is not None:
        name, descending = walked
        return filter(holds, _range(table, query.criterion, name, descending=descending))
    some = _range(table, query.criterion, "Modified_Time", descending=False)
    return _sorted(list(filter(holds, some if few is None else few)), query, fields)


def _walked(query: Query) -> tuple[str, bool] | None:
    """Return the kept order that is the one asked for, and whether it is walked from the end."""
    if not query.order:
        return "id", False
    (name, descending), *rest = query.order
    same = not rest or rest == [("id", descending)]
    return (name, descending) if same and name in ORDERS else None


def _few(table: Table, criterion: Criterion) -> list[Contact] | None:
    """Return a small superset of what meets the criterion, if one is at hand."""
    ids, emails = listed(criterion, "id"), listed(criterion, EMAIL)
    if ids is not None:
        return [table.contacts[one] for one in set(ids) if one in table.contacts]  # type: ignore[index]
    if emails is not None:
        return [contact for one in set(emails) for contact in table.find(EMAIL, one)]
    if lowest(criterion, "Modified_Time") is None:
        return None
    low, high = _ends(table, criterion, "Modified_Time")
    if (high - low) * _FEW > len(table.contacts):
        return None
    return list(_range(table, criterion, "Modified_Time", descending=False))


def _range(table: Table, criterion: Criterion, name: str, *, descending: bool) -> Iterable[Contact]:
    keys = table.order(name)
    low, high = _ends(table, criterion, name)
    places = range(high - 1, low - 1, -1) if descending else range(low, high)
    contacts = table.contacts
    return (contacts[keys[at][-1]] for at in places)  # type: ignore[index]


def _ends(table: Table, criterion: Criterion, name: str) -> tuple[int, int]:
    keys = table.order(name)
    first, most = first_key(criterion, name), highest(criterion, name)
    low = 0 if first is None else bisect_left(keys, first)
    high = len(keys) if most is None else bisect_right(keys, (most, _BEYOND_IDS))
    return low, max(low, high)


def _sorted(found: list[Contact], query: Query, fields: Mapping[str, Field]) -> Iterable[Contact]:
    found.sort(key=lambda contact: contact.id)
    for name, descending in reversed(query.order):
        of = column(fields[name]).of

        def key(contact: Contact) -> tuple[bool, Value]:
            value = of(contact)  # noqa: B023 - sorted before the next turn
            return (value is not None, "" if value is None else value)

        found.sort(key=key, reverse=descending)
    return found
