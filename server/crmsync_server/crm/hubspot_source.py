"""A portal's contacts, to be read: page by page, by id, or by address."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.hubspot_lookup import BATCH, living, read_batch, read_ids
from crmsync_server.crm.hubspot_pages import Pages
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_questions import Trouble
from crmsync_server.crm.hubspot_records import Shown, addresses, gone, shown
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry
from crmsync_server.crm.replies import count
from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits


class HubSpotSource:
    """The contacts of one portal; see crm.source.Source."""

    def __init__(self, portal: Portal, overlap: timedelta) -> None:
        """Take the portal, and how long its search index may lag; nothing is called yet."""
        self._portal = portal
        self.traits = SourceTraits(
            tells_deletions=True, tells_times=True, overlap=overlap, fetch_batch=BATCH
        )

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read the page at a cursor; at most 100 contacts of a list, 200 of a search."""
        asked = await self._shown(scope.names)
        if not isinstance(asked, Shown):
            return asked
        return await Pages(self._portal, scope.since, asked).at(cursor)

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by id; a second call asks the archive for those that are not there."""
        asked = await self._shown(names)
        if not isinstance(asked, Shown):
            return asked
        found: dict[str, Record | None] = dict.fromkeys(ids)
        # Anything else is no id of HubSpot's, and would have it refuse the others.
        possible = [one for one in found if count(one)]
        for start in range(0, len(possible), BATCH):
            portion = possible[start : start + BATCH]
            fetched = await self._fetch(portion, asked)
            if not isinstance(fetched, dict):
                return fetched
            found.update(fetched)
        return found

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by address, the primary one or a further one."""
        asked = await self._shown(names)
        if not isinstance(asked, Shown):
            return asked

        async def look(portion: Sequence[str]) -> Answer[Record | Outcome | None]:
            return await self._look(portion, asked)

        found: dict[str, Record | None] = dict.fromkeys(emails)
        sought = [one for one in found if one.strip()]
        for start in range(0, len(sought), BATCH):
            portion = sought[start : start + BATCH]
            for email, answer in zip(portion, await deliver(portion, look), strict=True):
                if isinstance(answer, Trouble):
                    return answer
                found[email] = answer if isinstance(answer, Record) else None
        return found

    async def _shown(self, names: frozenset[str] | None) -> Shown | Trouble:
        if names is not None and not names:
            return Shown((), sure=True)
        known = await self._portal.names()
        if not isinstance(known, Faulted):
            return shown(known, names)
        why = known.outcome
        unknown = Retry("PROPERTIES_UNKNOWN", "HubSpot's properties are unknown")
        return why if isinstance(why, Postponed | Retry) else unknown

    async def _fetch(self, ids: Sequence[str], asked: Shown) -> dict[str, Record | None] | Trouble:
        found = await living(self._portal, ids, asked.properties)
        if not isinstance(found, dict):
            return found
        missing = [one for one in ids if one not in found]
        archived = await read_ids(self._portal, missing, asked.properties, archived=True)
        if not isinstance(archived, list):
            return archived
        deleted = map(gone, archived)
        records: dict[str, Record | None] = {one.crm_contact_id: one for one in deleted}
        return records | {one: asked.record(result) for one, result in found.items()}

    async def _look(self, emails: Sequence[str], asked: Shown) -> Answer[Record | Outcome | None]:
        sought = sorted({email.strip().lower() for email in emails})
        found = await read_batch(self._portal, sought, asked.properties, by_email=True)
        if isinstance(found, Refused):
            return Refused(None)
        if not isinstance(found, list):
            return Faulted(found)
        holder = {email: asked.record(one) for one in found for email in addresses(one)}
        return [holder.get(email.strip().lower()) for email in emails]
