"""The contacts of a simulated Brevo account, and the identifiers that lead to them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from crmsync_server.sandbox.brevo_attributes import (
    PHONES,
    default_attributes,
    kept_attributes,
    parse_phone,
)
from crmsync_server.sandbox.brevo_errors import INVALID, MISSING, BrevoError, duplicate_error
from crmsync_server.sandbox.brevo_records import EMAIL, EXT_ID, AccountContact, Change, Identifier
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.timeline import SortedIds, Timeline, milliseconds
from crmsync_server.sandbox.wire import JsonObject, is_email, normalize_email


class AccountWatcher(Protocol):
    """Is told of what webhooks tell of, after it happened; of a new contact they do not."""

    def updated(self, contact: AccountContact) -> None:
        """Learn of a change."""
        ...

    def deleted(self, contact: AccountContact) -> None:
        """Learn of a deletion."""
        ...

    def listed(self, contact: AccountContact, list_ids: list[int]) -> None:
        """Learn that a contact was added to lists."""
        ...


class Account:
    """Holds contacts by id; an identifier leads to one contact."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and Brevo's own attributes."""
        self._clock = clock
        self.watchers: list[AccountWatcher] = []
        self.by_api = True
        """Whether the changes that are made now come through the API."""
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and the attributes added."""
        self.contacts: dict[int, AccountContact] = {}
        self.ids = SortedIds()
        self.created = Timeline()
        """By creation, in milliseconds since 1970."""
        self.modified = Timeline()
        """By the last change, likewise."""
        self.attributes = default_attributes()
        self._holders: dict[Identifier, int] = {}
        self.next_id = 1

    def parse(self, body: Mapping[str, Any]) -> Change:
        """Read what a write says about a contact.

        Raises:
            BrevoError: 400 invalid_parameter, a malformed email or telephone number.
        """
        given = body.get("attributes") or {}
        if not isinstance(given, dict):
            raise BrevoError(400, "attributes should be an object", code=INVALID)
        named = {name.upper(): value for name, value in given.items()}
        new_email = named.pop("EMAIL", None)
        attributes = kept_attributes(self.attributes, named)
        sought = _phones(attributes)
        if body.get(EMAIL) is not None:
            sought[EMAIL] = _checked_email(body[EMAIL])
        if body.get(EXT_ID) is not None:
            sought[EXT_ID] = str(body[EXT_ID])
        changed = {} if new_email is None else {EMAIL: _checked_email(new_email)}
        return Change(
            changed | sought,
            sought | changed,
            attributes,
            frozenset(parse_list_ids(body, "listIds")),
            frozenset(parse_list_ids(body, "unlinkListIds")),
            _flag(body, "emailBlacklisted"),
            _flag(body, "smsBlacklisted"),
        )

    def find(self, kind: str, value: str) -> AccountContact | None:
        """Return the contact with this identifier."""
        if kind == EMAIL:
            value = normalize_email(value)
        elif kind in PHONES:
            value = parse_phone(value) or ""
        holder = self._holders.get((kind, value))
        return None if holder is None else self.contacts[holder]

    def match(self, change: Change) -> AccountContact | None:
        """Return the contact that a write means: by email; without one by ext_id, then a number.

        Raises:
            BrevoError: 400 missing_parameter, the write names no contact.
        """
        if not change.sought:
            raise BrevoError(400, "email or another identifier is missing", code=MISSING)
        for kind in (EMAIL, EXT_ID, *PHONES):
            if kind in change.sought:
                return self.find(kind, change.sought[kind])
        return None

    def taken(self, contact: AccountContact | None, change: Change) -> list[str]:
        """Return the kinds of identifier in a write that belong to another contact."""
        own = None if contact is None else contact.id
        return [
            kind
            for kind, value in change.identifiers.items()
            if self._holders.get((kind, value), own) != own
        ]

    def check_free(self, contact: AccountContact | None, change: Change) -> None:
        """Check that no identifier in a write belongs to another contact.

        Raises:
            BrevoError: 400 duplicate_parameter, naming the kinds.
        """
        kinds = self.taken(contact, change)
        if kinds:
            raise duplicate_error(kinds)

    def create(self, change: Change) -> AccountContact:
        """Add a contact whose identifiers were checked."""
        contact = self._add(change, self._clock())
        self.ids.add(contact.id)
        self.created.put(contact.id, milliseconds(contact.created_at))
        self.modified.put(contact.id, milliseconds(contact.modified_at))
        self._tell_lists(contact, sorted(contact.list_ids))
        return contact

    def seed(self, changes: Iterable[tuple[Change, datetime]]) -> list[AccountContact]:
        """Add many contacts, each with when it was made; no webhook tells of them."""
        seeded = [self._add(change, instant) for change, instant in changes]
        self.ids.ids += [contact.id for contact in seeded]
        self.created.fill((one.id, milliseconds(one.created_at)) for one in seeded)
        self.modified.fill((one.id, milliseconds(one.modified_at)) for one in seeded)
        return seeded

    def update(self, contact: AccountContact, change: Change) -> None:
        """Change a contact; identifiers were checked."""
        before = contact.list_ids
        contact.modified_at = self._clock()
        contact.times_updated += 1
        self._change(contact, change)
        self.modified.put(contact.id, milliseconds(contact.modified_at))
        for watcher in self.watchers:
            watcher.updated(contact)
        self._tell_lists(contact, sorted(contact.list_ids - before))

    def delete(self, contact: AccountContact) -> None:
        """Remove a contact; its identifiers are free again."""
        for item in contact.identifiers.items():
            self._holders.pop(item, None)
        del self.contacts[contact.id]
        self.ids.discard(contact.id)
        self.created.discard(contact.id)
        self.modified.discard(contact.id)
        for watcher in self.watchers:
            watcher.deleted(contact)

    def as_json(self) -> Iterator[JsonObject]:
        """Yield every contact in the order of creation."""
        for contact in list(self.contacts.values()):
            yield contact.as_json() | {
                "times_created": contact.times_created,
                "times_updated": contact.times_updated,
            }

    def _add(self, change: Change, instant: datetime) -> AccountContact:
        contact = AccountContact(self.next_id, instant, instant)
        self.next_id += 1
        self.contacts[contact.id] = contact
        self._change(contact, change)
        return contact

    def _tell_lists(self, contact: AccountContact, list_ids: list[int]) -> None:
        for watcher in self.watchers if list_ids else ():
            watcher.listed(contact, list_ids)

    def _change(self, contact: AccountContact, change: Change) -> None:
        for kind, value in change.identifiers.items():
            if kind in contact.identifiers:
                self._holders.pop((kind, contact.identifiers[kind]), None)
            contact.identifiers[kind] = value
            self._holders[kind, value] = contact.id
        for kind in PHONES:
            if change.attributes.get(kind) == "" and kind in contact.identifiers:
                del self._holders[kind, contact.identifiers.pop(kind)]
        contact.attributes |= change.attributes
        contact.list_ids = (contact.list_ids | change.list_ids) - change.unlink_list_ids
        if change.email_blacklisted is not None:
            contact.email_blacklisted = change.email_blacklisted
        if change.sms_blacklisted is not None:
            contact.sms_blacklisted = change.sms_blacklisted


def _phones(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the telephone numbers among a write's attributes as identifiers."""
    identifiers = {}
    for kind in PHONES:
        value = attributes.get(kind)
        if value not in (None, ""):
            digits = parse_phone(value)
            if digits is None:
                raise BrevoError(400, f"Invalid {kind} number", code=INVALID)
            identifiers[kind] = digits
    return identifiers


def _checked_email(value: object) -> str:
    if not isinstance(value, str) or not is_email(value):
        raise BrevoError(400, "Invalid email address", code=INVALID)
    return normalize_email(value)


def parse_list_ids(body: Mapping[str, Any], key: str) -> list[int]:
    """Return the list ids under a key of a body; none if it is absent.

    Raises:
        BrevoError: 400 invalid_parameter, it is not a list of integers.
    """
    ids = body.get(key) or []
    if not isinstance(ids, list) or not all(isinstance(item, int) for item in ids):
        raise BrevoError(400, f"{key} should be a list of integers", code=INVALID)
    return ids


def _flag(body: Mapping[str, Any], key: str) -> bool | None:
    value = body.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise BrevoError(400, f"{key} should be a boolean", code=INVALID)
