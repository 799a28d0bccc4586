"""Searching a portal's contacts page by page, by ascending id.

A search shows 10,000 results at most, and a bulk change gives more records than that the same
time. So no page is counted from the beginning: each asks for ids above the last one. Nor is there
a bound to when a record changed: one that changes while it is read would slip out at the far end.
What bounds a reading is when a record was made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_questions import SEARCH_PATH, Trouble, ask, unreadable
from crmsync_server.crm.hubspot_records import Result
from crmsync_server.crm.outcomes import Retry
from crmsync_server.crm.replies import Reply, count, mappings, text

LIMIT = 200
# HubSpot takes 3,000 characters.
_LONGEST_BODY = 2_900
_ID = "hs_object_id"


@dataclass(frozen=True, slots=True)
class Search:
    """One page to be searched for.

    since: in milliseconds; empty for all contacts. until: no contact made later, in milliseconds.
    last: the id above which to look.
    """

    since: str
    until: str
    last: int
    properties: Sequence[str]

    @property
    def carries_properties(self) -> bool:
        """Whether HubSpot takes so many names; without them only ids are told."""
        return len(json.dumps(self._asking(self.properties))) <= _LONGEST_BODY

    @property
    def body(self) -> Mapping[str, object]:
        """What is sent."""
        return self._asking(self.properties if self.carries_properties else (_ID,))

    def _asking(self, properties: Sequence[str]) -> Mapping[str, object]:
        filters = [_filter(_ID, "GT", str(self.last)), _filter("createdate", "LTE", self.until)]
        if self.since:
            filters.append(_filter("lastmodifieddate", "GTE", self.since))
        return {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": _ID, "direction": "ASCENDING"}],
            "properties": list(properties),
            "limit": LIMIT,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """One page that was found.

    last: the highest id. total: how many there are from this page on, None if HubSpot did not say.
    """

    results: Sequence[Result]
    last: int
    total: int | None

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        here = len(self.results)
        return not here or (here < LIMIT if self.total is None else self.total <= here)


async def find_page(portal: Portal, search: Search) -> Found | Trouble:
    """Search for one page, by one call. Raises CredentialsRefusedError."""
    reply = await ask(portal, "POST", SEARCH_PATH, json=search.body)
    if not isinstance(reply, Reply):
        return reply
    if "results" not in reply.fields:
        return unreadable(reply, "results")
    results = mappings(reply.fields["results"])
    last = max((count(text(one.get("id"))) or 0 for one in results), default=0)
    if results and last <= search.last:
        # Going on from here would never end.
        return Retry("UNACCOUNTED", "HubSpot's search found ids that were not asked for")
    return Found(results, last, count(text(reply.fields.get("total"))))


def _filter(name: str, operator: str, value: str) -> Mapping[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}
