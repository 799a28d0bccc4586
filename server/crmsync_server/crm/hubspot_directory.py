"""What a portal tells of itself: its properties, scopes, details and kinds of records."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.directory import (
    CrmField,
    FieldResult,
    FieldStatus,
    Module,
    NewField,
    Organization,
    Permission,
)
from crmsync_server.crm.hubspot_access import OAuth
from crmsync_server.crm.hubspot_day import DETAILS
from crmsync_server.crm.hubspot_fields import GROUP, definition, field_of, standing_of, unfit
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.hubspot_questions import (
    MISSING_SCOPES,
    Trouble,
    ask,
    unanswered,
    unreadable,
)
from crmsync_server.crm.hubspot_scopes import granted_scopes, permissions
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.outcomes import Rejected
from crmsync_server.crm.replies import Reply, mappings, text

_GROUPS = f"{PROPERTIES}/groups"
_OBJECTS = "/crm/v3/objects"
_MODULES = {
    "contacts": "Contacts",
    "companies": "Companies",
    "deals": "Deals",
    "tickets": "Tickets",
}
_ONE = {"limit": "1"}
# HubSpot has no such kind of records in this portal, or the token may not read it.
_HIDDEN = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class HubSpotDirectory:
    """One portal's account; see crm.directory.Directory."""

    def __init__(self, portal: Portal, oauth: OAuth | None) -> None:
        """Take the portal, and the application that speaks to it; None where it has a token."""
        self._portal = portal
        self._oauth = oauth

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the portal's contact properties, archived ones left out; one call."""
        entries = await self._entries()
        return list(map(field_of, entries)) if isinstance(entries, list) else entries

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make those that are not there, in a group of our own; one call for each of them.

        A call that finds no answer ends it; done again, it goes on with those that are missing.
        """
        entries = await self._entries()
        if not isinstance(entries, list):
            return entries
        settled = {at: standing_of(new, entries) or unfit(new) for at, new in enumerate(fields)}
        if not all(settled.values()):
            group = await self._group()
            if group is not None:
                return group
        results: list[FieldResult] = []
        for at, new in enumerate(fields):
            made = settled[at] or _earlier(new, results) or await self._create(new)
            if not isinstance(made, FieldResult):
                return made
            results.append(made)
        return results

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Return what the token may do: as HubSpot lists it, else as reading shows it."""
        scopes = await granted_scopes(self._oauth) if self._oauth else None
        if isinstance(scopes, Trouble):
            return scopes
        return await permissions(self._portal, scopes)

    async def organization(self) -> Organization | Trouble:
        """Return the portal's id, kind, currency and time zone; it tells neither name nor place."""
        details = await ask(self._portal, "GET", DETAILS)
        if not isinstance(details, Reply):
            return details
        told = details.fields
        portal_id = text(told.get("portalId"))
        if not portal_id:
            return unreadable(details, "portalId")
        self._portal.zone.learn(details)
        return Organization(
            portal_id,
            edition=text(told.get("accountType")),
            currency=text(told.get("companyCurrency")),
            time_zone=text(told.get("timeZone")),
        )

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return the kinds of records that can be read, found by reading one of each."""
        found: list[Module] = []
        for name, label in _MODULES.items():
            path = f"{_OBJECTS}/{name}"
            reply = await ask(self._portal, "GET", path, params=_ONE, besides=_HIDDEN)
            if not isinstance(reply, Reply):
                return reply
            if reply.status == HTTPStatus.OK:
                found.append(Module(name, label, synced=path == CONTACTS))
        return found

    async def refresh_token(self) -> datetime | Trouble | None:
        """Renew the access token of an application; a private app's never ends."""
        if self._oauth is None:
            return None
        until = await self._oauth.renewed()
        return until if isinstance(until, datetime) else unanswered(until)

    async def _entries(self) -> list[Mapping[str, object]] | Trouble:
        reply = await ask(self._portal, "GET", PROPERTIES)
        if not isinstance(reply, Reply):
            return reply
        if "results" not in reply.fields:
            return unreadable(reply, "results")
        entries = mappings(reply.fields["results"])
        return [one for one in entries if text(one.get("name")) and one.get("archived") is not True]

    async def _group(self) -> Trouble | None:
        """Have a group for our fields; None where it is there."""
        reply = await ask(self._portal, "GET", _GROUPS)
        if not isinstance(reply, Reply):
            return reply
        if any(one.get("name") == GROUP for one in mappings(reply.fields.get("results"))):
            return None
        group = {"name": GROUP, "label": GROUP}
        conflict = (HTTPStatus.CONFLICT,)  # Somebody else was faster.
        made = await ask(self._portal, "POST", _GROUPS, json=group, besides=conflict)
        return None if isinstance(made, Reply) else made

    async def _create(self, new: NewField) -> FieldResult | Trouble:
        body = definition(new)
        conflict = (HTTPStatus.CONFLICT,)
        made = await ask(self._portal, "POST", PROPERTIES, json=body, besides=conflict)
        if isinstance(made, Rejected) and made.code != MISSING_SCOPES:
            return FieldResult(new.name, FieldStatus.FAILED, made.code, made.message)
        if not isinstance(made, Reply):
            return made
        if made.status != HTTPStatus.CONFLICT:
            return FieldResult(text(made.fields.get("name")) or new.name, FieldStatus.CREATED)
        entries = await self._entries()
        if not isinstance(entries, list):
            return entries
        # It is there although the list does not show it: in the archive.
        said = text(made.fields.get("message")) or made.text
        archived = FieldResult(new.name, FieldStatus.FAILED, "CONFLICT", said)
        return standing_of(new, entries) or archived


def _earlier(new: NewField, results: Sequence[FieldResult]) -> FieldResult | None:
    """Return that a field was asked for twice, None where it was not."""
    if not any(one.name.lower() == new.name.lower() for one in results):
        return None
    return FieldResult(new.name, FieldStatus.FAILED, "TWICE", "this name was asked for before")
