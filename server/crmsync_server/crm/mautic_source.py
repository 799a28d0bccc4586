"""Reads Mautic's contacts, page by page in the order of their ids.

A contact that nobody has changed since it was made has no `dateModified`: what changed since a
time takes two queries. Mautic tells nothing of what was deleted; to merge deletes one of the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.mautic_calls import CONTACTS, Mautic
from crmsync_server.crm.mautic_fields import OWN
from crmsync_server.crm.mautic_replies import indexed
from crmsync_server.crm.mautic_rows import EMAIL, FIELDS, email_of, shown, tags_of
from crmsync_server.crm.outcomes import Rejected
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, count, iso_time, mapping, text
from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits

_PAGE = 100
# A batch is stored contact by contact, and shows once all of it is; our clock is not Mautic's.
_OVERLAP = timedelta(minutes=5)
# Visitors whom nobody has identified are no contacts.
_IDENTIFIED = "!is:anonymous"
# What a reading asks for in turn; the last one is all there is to ask where it reads everything.
_MODIFIED, _ADDED, _ALL = "dateModified", "dateAdded", "all"
# Mautic's own fields are none of the organization's: points and times change by themselves.
_NOT_CUSTOM = OWN | {"id", EMAIL, *FIELDS.values()}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a reading stands: which query, after which id, and how many it brought before."""

    query: str
    last: int = 0
    seen: int = 0

    @classmethod
    def of(cls, cursor: Cursor, scope: Scope) -> "_Place":
        """Read a cursor; an empty one begins with the first query."""
        first = _ALL if scope.since is None else _MODIFIED
        query = text(cursor.get("query")) or first
        last, seen = count(text(cursor.get("last"))), count(text(cursor.get("seen")))
        return cls(query, last or 0, seen or 0)

    def cursor(self) -> Cursor:
        """Return the place as JSON."""
        return {"query": self.query, "last": self.last, "seen": self.seen}


class MauticSource:
    """The contacts of one instance."""

    def __init__(self, mautic: Mautic) -> None:
        """Take the instance's calls; nothing is called yet."""
        self._mautic = mautic

    @property
    def traits(self) -> SourceTraits:
        """What Mautic tells."""
        return SourceTraits(
            tells_deletions=False, tells_times=True, overlap=_OVERLAP, fetch_batch=50
        )

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read a hundred contacts, in one call; raises CredentialsRefusedError."""
        place = _Place.of(cursor, scope)
        reply = await self._mautic.ask(CONTACTS, _query(place, scope.since))
        if not isinstance(reply, Reply):
            return reply
        if "contacts" not in reply.fields:
            return self._mautic.lacking(reply)
        contacts = indexed(reply.fields.get("contacts"), "id")
        if contacts and max(contacts) <= place.last:
            told = "Mautic answers with contacts that were not asked for"
            return Rejected("PAGING_IGNORED", told)
        total = count(text(reply.fields.get("total")))
        following = _following(place, list(contacts), total)
        records = [_record(contacts[at], scope.names) for at in sorted(contacts)]
        # How many were added besides is not known before they are asked for.
        known = None if total is None or place.query == _MODIFIED else place.seen + total
        return Page(records, None if following is None else following.cursor(), known)

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read contacts by id: one call for all, and one for each that is not among them.

        The latter finds the contact that another was merged into.
        Raises CredentialsRefusedError.
        """
        known = [one for one in ids if count(one) is not None]
        contacts = await self._mautic.find("id", known) if known else {}
        if isinstance(contacts, Faulted):
            return unanswered(contacts.outcome)
        found: dict[str, Record | None] = dict.fromkeys(ids)
        for one in dict.fromkeys(known):
            contact = contacts.get(int(one)) or await self._single(one)
            if contact is not None and not isinstance(contact, Mapping):
                return contact
            found[one] = _record(contact, names) if contact else None
        return found

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read contacts by address, in one call; of several, the newest, as a push writes to it.

        Raises CredentialsRefusedError.
        """
        contacts = await self._mautic.find(EMAIL, emails) if emails else {}
        if isinstance(contacts, Faulted):
            return unanswered(contacts.outcome)
        newest = {email_of(contacts[at]): contacts[at] for at in sorted(contacts)}
        return {
            email: _record(newest[email], names) if email in newest else None for email in emails
        }

    async def _single(self, record_id: str) -> Mapping[str, object] | Trouble | None:
        reply = await self._mautic.call("GET", f"{CONTACTS}/{record_id}")
        if not isinstance(reply, Reply):
            return unanswered(reply)
        contact = mapping(reply.fields.get("contact"))
        if reply.status == HTTPStatus.OK and text(contact.get("id")):
            return contact
        # A page that says so is not Mautic's word on one contact.
        if reply.status == HTTPStatus.NOT_FOUND and reply.fields:
            return None
        return self._mautic.lacking(reply)


def _query(place: _Place, since: datetime | None) -> dict[str, str]:
    query = {
        "where[0][col]": "id",
        "where[0][expr]": "gt",
        "where[0][val]": str(place.last),
        "orderBy": "id",
        "orderByDir": "asc",
        "start": "0",
        "limit": str(_PAGE),
        "search": _IDENTIFIED,
    }
    if since is None or place.query == _ALL:
        return query
    return {
        **query,
        "where[1][col]": place.query,
        "where[1][expr]": "gte",
        # As the database has it: UTC, whole seconds.
        "where[1][val]": since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    }


def _following(place: _Place, ids: Sequence[int], total: int | None) -> _Place | None:
    """Return where to go on: after these, with the next query, or nowhere.

    An instance may show fewer at a time than it is asked for: then its total says that more come.
    """
    if ids and not (len(ids) < _PAGE and total is not None and len(ids) >= total):
        return _Place(place.query, max(ids), place.seen + len(ids))
    if place.query == _MODIFIED:
        return _Place(_ADDED, 0, place.seen + len(ids))
    return None


def _record(contact: Mapping[str, object], names: frozenset[str] | None) -> Record:
    held = shown(contact)
    wanted = held.keys() - _NOT_CUSTOM if names is None else names
    return Record(
        text(contact.get("id")),
        deliverable(held.get(EMAIL, "")),
        held.get(FIELDS["first_name"]),
        held.get(FIELDS["last_name"]),
        held.get(FIELDS["phone"]),
        held.get(FIELDS["company"]),
        tags_of(contact) if "tags" in contact else None,
        properties={name: held[name.lower()] for name in sorted(wanted) if name.lower() in held},
        modified_time=iso_time(contact.get("dateModified")) or iso_time(contact.get("dateAdded")),
    )
