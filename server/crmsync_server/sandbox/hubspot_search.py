"""HubSpot's search: filters, one order, pages of up to 200, and never more than 10,000 results."""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.hubspot_errors import HubSpotError, read_body
from crmsync_server.sandbox.hubspot_filters import (
    CREATED,
    ID,
    MODIFIED,
    Bounds,
    Comparable,
    Filter,
    comparable,
    value_of,
)
from crmsync_server.sandbox.hubspot_index import SearchIndex
from crmsync_server.sandbox.hubspot_portal import Portal
from crmsync_server.sandbox.hubspot_writes import (
    ALWAYS_SHOWN,
    SHOWN,
    record_json,
    strings,
)
from crmsync_server.sandbox.timeline import between
from crmsync_server.sandbox.wire import JsonObject

SEARCH_PATH = "/crm/v3/objects/contacts/search"
MAX_RESULTS = 10_000
_MAX_PAGE = 200
_DEFAULT_PAGE = 10
_MAX_BODY = 3000
_MAX_GROUPS = 5
_SEARCHED = ("firstname", "lastname", "email", "hs_additional_emails", "phone", "company")


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """How many filters a search may have; HubSpot's pages have said 6 and 18, and 10 and 25."""

    each_group: int
    in_all: int


class Search:
    """Answers searches over an index."""

    def __init__(self, portal: Portal, index: SearchIndex, limits: FilterLimits) -> None:
        """Search this index."""
        self._portal = portal
        self._index = index
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the path; it stands before those of single contacts."""
        return [Route(SEARCH_PATH, self.search, methods=["POST"])]

    async def search(self, request: Request) -> Response:
        """Answer POST /crm/v3/objects/contacts/search."""
        body = await read_body(request)
        if len((await request.body()).decode()) > _MAX_BODY:
            raise HubSpotError(400, f"The body of a search has at most {_MAX_BODY} characters")
        limit, after = _page(body)
        groups = self._groups(body)
        sort = self._sort(body)
        shown = set(strings(body, "properties"))
        self._index.catch_up()
        found = self._ordered(self._searched(self._matching(groups), body.get("query")), *sort)
        page = found[after : after + limit]
        answer: JsonObject = {
            "total": len(found),
            "results": [self._record(number, shown) for number in page],
        }
        if after + limit < len(found):
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return JSONResponse(answer)

    def _groups(self, body: JsonObject) -> list[list[Filter]]:
        groups = body.get("filterGroups") or []
        if not isinstance(groups, list) or len(groups) > _MAX_GROUPS:
            raise HubSpotError(400, f"filterGroups is a list of at most {_MAX_GROUPS}")
        parsed = [self._filters(group) for group in groups]
        if sum(map(len, parsed)) > self._limits.in_all:
            raise HubSpotError(400, f"A search has at most {self._limits.in_all} filters")
        return parsed or [self._filters(body)]

    def _filters(self, group: object) -> list[Filter]:
        filters = group.get("filters") or [] if isinstance(group, dict) else None
        if not isinstance(filters, list) or len(filters) > self._limits.each_group:
            most = self._limits.each_group
            raise HubSpotError(400, f"A filter group is an object with at most {most} filters")
        return [Filter.parse(self._portal.definitions, item) for item in filters]

    def _sort(self, body: JsonObject) -> tuple[str, bool]:
        """Return the property to order by, and whether downwards; creation is the default."""
        sorts = body.get("sorts") or [CREATED]
        if not isinstance(sorts, list) or len(sorts) > 1:
            raise HubSpotError(400, "sorts is a list of one")
        (sort,) = sorts
        name, down = str(sort).removeprefix("-"), str(sort).startswith("-")
        if isinstance(sort, dict):
            name, down = str(sort.get("propertyName")), sort.get("direction") == "DESCENDING"
        if name not in self._portal.definitions:
            raise HubSpotError(400, f"There is no property {name} to sort by")
        return name, down

    def _matching(self, groups: list[list[Filter]]) -> list[int]:
        """Return the ids of the contacts that one of the groups lets through, ascending."""
        found = [self._of_group(group) for group in groups]
        return found[0] if len(found) == 1 else sorted(set().union(*found))

    def _of_group(self, filters: list[Filter]) -> list[int]:
        bounds: dict[str, Bounds] = {}
        others: list[Filter] = []
        for one in filters:
            found = one.bounds() if one.definition.name in {ID, MODIFIED, CREATED} else None
            if found is None:
                others.append(one)
            else:
                name = one.definition.name
                bounds[name] = _both(bounds.get(name, (None, None)), found)
        ids = between(self._in_time(bounds), *bounds.get(ID, (None, None)))
        if MODIFIED in bounds and CREATED in bounds:
            others += [one for one in filters if one.definition.name == CREATED]
        contact = self._index.contact
        return (
            [one for one in ids if all(it.holds(contact(one)) for it in others)] if others else ids
        )

    def _in_time(self, bounds: dict[str, Bounds]) -> list[int]:
        if CREATED in bounds and MODIFIED not in bounds:
            return self._index.made.window(*bounds[CREATED])
        return self._index.modified.window(*bounds.get(MODIFIED, (None, None)))

    def _searched(self, ids: list[int], query: object) -> list[int]:
        if not query:
            return ids
        sought = str(query).lower()
        return [one for one in ids if any(sought in text for text in self._texts(one))]

    def _texts(self, number: int) -> Iterable[str]:
        properties = self._index.contact(number).properties
        return (properties.get(name, "").lower() for name in _SEARCHED)

    def _ordered(self, ids: list[int], name: str, down: bool) -> list[int]:  # noqa: FBT001 - as parsed
        # Ids are given out in the order of creation.
        if name == MODIFIED:
            ids = sorted(ids, key=self._index.modified.instants.__getitem__)
        elif name not in {ID, CREATED}:
            ids = sorted(ids, key=lambda number: self._rank(number, name))
        return ids[::-1] if down else ids

    def _rank(self, number: int, name: str) -> tuple[bool, Comparable]:
        text = value_of(self._index.contact(number), name)
        found = comparable(self._portal.definitions[name], text) if text else None
        return (True, 0) if found is None else (False, found)

    def _record(self, number: int, shown: set[str]) -> JsonObject:
        # A property that was asked for and has no value is null.
        blanks = shown & self._portal.definitions.keys()
        contact = self._index.contact(number)
        return record_json(contact, (shown | ALWAYS_SHOWN) if shown else set(SHOWN), blanks)


def _page(body: JsonObject) -> tuple[int, int]:
    limit = body.get("limit", _DEFAULT_PAGE)
    after = str(body.get("after") or "0")
    if not isinstance(limit, int) or not 1 <= limit <= _MAX_PAGE:
        raise HubSpotError(400, f"limit must be an integer from 1 to {_MAX_PAGE}")
    if not after.isdecimal():
        raise HubSpotError(400, "after must be an integer, as text")
    if int(after) + limit > MAX_RESULTS:
        raise HubSpotError(400, f"A search gives at most {MAX_RESULTS} results")
    return limit, int(after)


def _both(one: Bounds, other: Bounds) -> Bounds:
    lows = [low for low, _ in (one, other) if low is not None]
    highs = [high for _, high in (one, other) if high is not None]
    return (max(lows, default=None), min(highs, default=None))
