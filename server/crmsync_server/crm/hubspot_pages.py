"""The pages of one reading of a portal: a list of all, or a search for changes; then the archive.

A cursor names its stage: `list` (after), `search` (until, last, total) or `archive` (after, again).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from crmsync_server.crm.hubspot_lookup import BATCH, living, read_ids
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_questions import Trouble, ask, unreadable
from crmsync_server.crm.hubspot_records import MERGED, Result, Shown, departed, gone
from crmsync_server.crm.hubspot_search import Search, find_page
from crmsync_server.crm.hubspot_times import milliseconds
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.replies import Reply, count, mapping, mappings, text
from crmsync_server.crm.source import Cursor, Page, Record

# Longer addresses are refused, by HubSpot or on the way to it.
_LONGEST_QUERY = 1_800
_ARCHIVE: Cursor = {"stage": "archive"}


@dataclass(frozen=True, slots=True)
class Pages:
    """One reading; `since` and `shown` are the same for all of its pages."""

    portal: Portal
    since: datetime | None
    shown: Shown

    async def at(self, cursor: Cursor) -> Page | Trouble:
        """Read the page at a cursor. Raises CredentialsRefusedError."""
        match text(cursor.get("stage")):
            case "archive":
                return await self._archive(cursor)
            case "search":
                return await self._search(cursor)
            case _ if self.since is not None:
                return await self._search(cursor)
        return await self._list(cursor)

    async def _list(self, cursor: Cursor) -> Page | Trouble:
        after = text(cursor.get("after"))
        names = {"properties": ",".join(self.shown.properties)}
        short = len(urlencode(names)) <= _LONGEST_QUERY
        reply = await self._listed(after, names if short else {}, again=not after)
        if not isinstance(reply, Reply):
            return reply
        if reply.status == HTTPStatus.BAD_REQUEST:
            # HubSpot takes this place no more; a search needs none. Some come a second time.
            return Page((), {"stage": "search"})
        results = _results(reply) if short else await self._filled(_results(reply))
        if not isinstance(results, list):
            return results
        following = _following(reply)
        onwards = {"stage": "list", "after": following} if following else _ARCHIVE
        return Page(list(self.shown.records(results)), onwards)

    async def _search(self, cursor: Cursor) -> Page | Trouble:
        now = self.portal.caller.tools.clock()
        search = Search(
            since=milliseconds(self.since) if self.since else "",
            until=text(cursor.get("until")) or milliseconds(now),
            last=count(text(cursor.get("last"))) or 0,
            properties=self.shown.properties,
        )
        found = await find_page(self.portal, search)
        if isinstance(found, Trouble):
            return found
        whole = search.carries_properties
        results = list(found.results) if whole else await self._filled(found.results)
        if not isinstance(results, list):
            return results
        total = count(text(cursor.get("total"))) or found.total
        at = {"stage": "search", "until": search.until, "last": str(found.last), "total": total}
        onwards = _ARCHIVE if found.is_last else at
        return Page(list(self.shown.records(results)), onwards, total)

    async def _archive(self, cursor: Cursor) -> Page | Trouble:
        after, again = text(cursor.get("after")), cursor.get("again") is True
        names = {"archived": "true", "properties": MERGED}
        reply = await self._listed(after, names, again=again or not after)
        if not isinstance(reply, Reply):
            return reply
        if reply.status == HTTPStatus.BAD_REQUEST:
            return Page((), {"stage": "archive", "again": True})
        records = await self._departed([one for one in _results(reply) if self._is_new(one)])
        if not isinstance(records, list):
            return records
        following = _following(reply)
        onwards = {"stage": "archive", "after": following, "again": again}
        return Page(records, onwards if following else None)

    async def _listed(
        self, after: str, params: Mapping[str, str], *, again: bool
    ) -> Reply | Trouble:
        """Return one page of the list; a refusal of its place besides, unless it is `again`."""
        place = {"after": after} if after else {}
        reply = await ask(
            self.portal,
            "GET",
            CONTACTS,
            params={"limit": str(BATCH), **params, **place},
            besides=() if again else (HTTPStatus.BAD_REQUEST,),
        )
        if isinstance(reply, Reply) and reply.status == HTTPStatus.OK:
            return reply if "results" in reply.fields else unreadable(reply, "results")
        return reply

    async def _filled(self, results: Sequence[Result]) -> list[Result] | Trouble:
        """Return the same contacts with all of their properties, without those that left."""
        ids = list(filter(None, (text(one.get("id")) for one in results)))
        filled: list[Result] = []
        for start in range(0, len(ids), BATCH):
            portion = ids[start : start + BATCH]
            found = await read_ids(self.portal, portion, self.shown.properties)
            if not isinstance(found, list):
                return found
            filled += found
        return filled

    async def _departed(self, results: Sequence[Result]) -> list[Record] | Trouble:
        """Return contacts that were archived; one that was merged lives on in another.

        What was merged into one before goes where that goes: the archive does not show it.
        """
        ids = list(filter(None, (text(one.get("id")) for one in results)))
        found = await living(self.portal, ids, (MERGED,))
        if not isinstance(found, dict):
            return found
        heir = {merged: text(one.get("id")) for merged, one in found.items()}
        records = [
            record for one in results for record in departed(one, heir.get(text(one.get("id")), ""))
        ]
        # One that is back again is told of where it is, not here.
        return [one for one in records if one.merged_into != one.crm_contact_id]

    def _is_new(self, result: Result) -> bool:
        when = gone(result).modified_time
        return bool(text(result.get("id"))) and (
            self.since is None or when is None or when >= self.since
        )


def _results(reply: Reply) -> list[Result]:
    return mappings(reply.fields["results"])


def _following(reply: Reply) -> str:
    return text(mapping(mapping(reply.fields.get("paging")).get("next")).get("after"))
