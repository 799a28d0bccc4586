"""Reads Brevo's contacts: pages in the order of their creation, or one by one.

The id of a contact is its address, as `push` keeps it, so that both speak of the same record; only
a contact without an address has Brevo's number. An address may change: what tells then whose record
it is is our own id, which a push leaves with it. Brevo tells nothing of what was deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import quote

from crmsync_server.crm.brevo_attributes import Attributes, Definitions
from crmsync_server.crm.brevo_calls import Brevo, judge, lacking
from crmsync_server.crm.brevo_rows import FIELDS, PHONE, attribute_types
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.fanout import fan_out
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Outcome
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, count, iso_time, mapping, mappings, text, texts
from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits

_PAGE = 1_000
# Deleted contacts move the others up: so many are read again, to see that none is missed.
_MARGIN = 50
# A changed contact may not be found at once, and our clock is not Brevo's.
_OVERLAP = timedelta(minutes=5)
_ASKING = timedelta(seconds=60)

Contact = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a reading stands.

    offset: how many contacts the next page leaves out; last: the highest number that was read;
    back: how far to go back if the page does not begin at or before that one.
    """

    offset: int = 0
    last: int = 0
    back: int = 2 * _MARGIN

    @classmethod
    def of(cls, cursor: Cursor) -> "_Place":
        """Read a cursor."""
        found = {name: count(text(value)) for name, value in cursor.items()}
        offset, last, back = found.get("offset"), found.get("last"), found.get("back")
        return cls(offset or 0, last or 0, back or cls().back)

    def next(self, page: Sequence[Contact], total: int | None) -> "_Place | None":
        """Return where to go on after a page; None after the last one.

        Numbers rise in the order of creation. A page that begins after the last one that was read
        proves that contacts moved up in between, and that some may have been missed.
        """
        numbers = [found for one in page if (found := count(text(one.get("id")))) is not None]
        if self.offset and (not numbers or numbers[0] > self.last):
            return _Place(max(0, self.offset - self.back), self.last, 2 * self.back)
        end, last = self.offset + len(page), max(self.last, *numbers, 0)
        if len(page) < _PAGE and (end >= (total or 0) or last == self.last):
            return None
        return _Place(max(end - _MARGIN, self.offset + 1), last)

    def cursor(self) -> Cursor:
        """Return the place as JSON."""
        return {"offset": self.offset, "last": self.last, "back": self.back}


class BrevoSource:
    """The contacts of one account."""

    def __init__(self, brevo: Brevo, attributes: Attributes) -> None:
        """Take the account's calls and attributes; nothing is called yet."""
        self._brevo = brevo
        self._attributes = attributes

    @property
    def traits(self) -> SourceTraits:
        """What Brevo tells."""
        # A call for each, eight side by side: a few seconds of the account's ten a second.
        return SourceTraits(
            tells_deletions=False, tells_times=True, overlap=_OVERLAP, fetch_batch=50
        )

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read a thousand contacts; raises CredentialsRefusedError."""
        definitions = await self._attributes.definitions()
        if isinstance(definitions, Faulted):
            return unanswered(definitions.outcome)
        place = _Place.of(cursor)
        reply = await self._brevo.contacts("GET", params=_query(scope.since, place.offset))
        if not isinstance(reply, Reply):
            return unanswered(reply)
        if reply.status != HTTPStatus.OK or not isinstance(reply.fields.get("contacts"), list):
            return lacking(reply, self._brevo)
        page = mappings(reply.fields.get("contacts"))
        total = count(text(reply.fields.get("count")))
        shown = _Shown(definitions, scope.names)
        records = [found for one in page if (found := shown.record(one)) is not None]
        following = place.next(page, total)
        return Page(records, None if following is None else following.cursor(), total)

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read contacts by address or number, a call for each; raises CredentialsRefusedError."""
        return await self._each(ids, names)

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read contacts by address, a call for each; raises CredentialsRefusedError."""
        return await self._each(emails, names)

    async def _each(
        self, keys: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        guard = Guard(self._brevo.now, _ASKING)
        definitions = await guard.call(self._attributes.definitions)
        if isinstance(definitions, Faulted):
            guard.conclude(())
            return unanswered(definitions.outcome)
        shown = _Shown(definitions, names)

        async def ask(key: str) -> Record | Outcome | None:
            answer = await guard.call(lambda: self._one(key, shown))
            return answer.outcome if isinstance(answer, Faulted) else answer

        sought = list(dict.fromkeys(keys))
        answers: list[Record | Outcome | None] = await fan_out(sought, ask)
        guard.conclude(())
        found: dict[str, Record | None] = {}
        for key, answer in zip(sought, answers, strict=True):
            if answer is not None and not isinstance(answer, Record):
                return unanswered(answer)
            found[key] = answer
        return found

    async def _one(self, key: str, shown: "_Shown") -> Record | Faulted[Outcome] | None:
        """Read one contact; None where there is none, or no such key can be."""
        kind = "email_id" if deliverable(key) and "@" in key else "contact_id"
        if kind == "contact_id" and count(key) is None:
            return None
        path = f"/{quote(key.strip(), safe='')}"
        reply = await self._brevo.contacts("GET", path, params={"identifierType": kind})
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status == HTTPStatus.NOT_FOUND and reply.fields:
            return None
        if reply.status == HTTPStatus.OK and (found := shown.record(reply.fields)) is not None:
            return found if kind == "contact_id" or found.email == deliverable(key) else None
        verdict = judge(reply, self._brevo)
        return verdict if isinstance(verdict, Faulted) else Faulted(verdict)


def _query(since: datetime | None, offset: int) -> dict[str, str]:
    query = {"limit": str(_PAGE), "offset": str(offset), "sort": "asc"}
    if since is None:
        return query
    moment = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**query, "modifiedSince": moment}


class _Shown:
    """What a reading shows of each contact."""

    def __init__(self, definitions: Definitions, names: frozenset[str] | None) -> None:
        """Take the account's attributes, and the names that were asked for."""
        self._types = attribute_types(definitions)
        known = {text(one.get("name")).upper() for one in definitions}
        wanted = known - set(FIELDS.values()) if names is None else names
        self._names = sorted(name for name in wanted if name.upper() in known)

    def record(self, contact: Contact) -> Record | None:
        """Return a contact as a record; None for one without a number, which nothing can name."""
        number = text(contact.get("id"))
        if not number:
            return None
        email = deliverable(text(contact.get("email")))
        held = {name.upper(): value for name, value in mapping(contact.get("attributes")).items()}
        own = {field: self._own(held, name) for field, name in FIELDS.items()}
        return Record(
            email or number,
            email,
            own["first_name"],
            own["last_name"],
            own["phone"],
            own["company"],
            properties={name: _text(held.get(name.upper())) for name in self._names},
            modified_time=iso_time(contact.get("modifiedAt")),
            contact_id=text(contact.get("ext_id")),
        )

    def _own(self, held: Mapping[str, object], name: str) -> str | None:
        """Return a field of ours; None where the account has no place for it."""
        if name == PHONE:
            return _international(_text(held.get(name)))
        return _text(held.get(name)) if name in self._types else None


def _international(phone: str) -> str:
    # Brevo keeps the country code, and leaves out the plus.
    return f"+{phone}" if phone.isascii() and phone.isdecimal() else phone


def _text(value: object) -> str:
    """Return a value as the push takes it; empty for none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ";".join(texts(value)) if isinstance(value, list) else text(value)
