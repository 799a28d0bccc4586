"""The contacts of a simulated Brevo account, and the identifiers that lead to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crmsync_server.sandbox.brevo_attributes import (
    PHONES,
    default_attributes,
    kept_attributes,
    parse_phone,
)
from crmsync_server.sandbox.brevo_errors import (
    INVALID,
    MISSING,
    BrevoError,
)
from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.wire import JsonObject, is_email, normalize_email

EMAIL = "email"
EXT_ID = "ext_id"


@dataclass(slots=True)
class AccountContact:
    """One contact; `times_*` count the writes applied to it."""

    id: int
    created_at: datetime
    modified_at: datetime
    identifiers: dict[str, str] = field(default_factory=dict)
    """By kind: email, ext_id, SMS, WHATSAPP, LANDLINE_NUMBER."""
    attributes: dict[str, Any] = field(default_factory=dict)
    list_ids: set[int] = field(default_factory=set)
    email_blacklisted: bool = False
    sms_blacklisted: bool = False
    times_created: int = 1
    times_updated: int = 0

    def as_json(self) -> JsonObject:
        """Return the contact as Brevo prints it; one without an email gets one made of its SMS."""
        email = self.identifiers.get(EMAIL) or f"{self.identifiers.get('SMS', '')}@mailin-sms.com"
        body: JsonObject = {
            "email": email,
            "id": self.id,
            "emailBlacklisted": self.email_blacklisted,
            "smsBlacklisted": self.sms_blacklisted,
            "createdAt": isoformat(self.created_at),
            "modifiedAt": isoformat(self.modified_at),
            "listIds": sorted(self.list_ids),
            "attributes": self.attributes,
        }
        if EXT_ID in self.identifiers:
            body["ext_id"] = self.identifiers[EXT_ID]
        return body


@dataclass(frozen=True, slots=True)
class Change:
    """What a write says about a contact; None and absent mean that it says nothing."""

    identifiers: dict[str, str]
    attributes: dict[str, Any]
    list_ids: frozenset[int] = frozenset()
    unlink_list_ids: frozenset[int] = frozenset()
    email_blacklisted: bool | None = None
    sms_blacklisted: bool | None = None


class Account:
    """Holds contacts by id; an identifier leads to one contact."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and Brevo's own attributes."""
        self.contacts: dict[int, AccountContact] = {}
        self.attributes = default_attributes()
        self._holders: dict[tuple[str, str], int] = {}
        self._clock = clock
        self._next_id = 1

    def parse(self, body: Mapping[str, Any]) -> Change:
        """Read what a write says about a contact.

        Raises:
            BrevoError: 400 invalid_parameter, a malformed email or telephone number.
        """
        given = body.get("attributes") or {}
        if not isinstance(given, dict):
            raise BrevoError(400, "attributes should be an object", code=INVALID)
        named = {name.upper(): value for name, value in given.items()}
        email = named.pop("EMAIL", None) or body.get(EMAIL)
        ext_id = body.get(EXT_ID)
        attributes = kept_attributes(self.attributes, named)
        identifiers = _phones(attributes)
        if email is not None:
            identifiers[EMAIL] = _checked_email(email)
        if ext_id is not None:
            identifiers[EXT_ID] = str(ext_id)
        return Change(
            identifiers,
            attributes,
            _list_ids(body, "listIds"),
            _list_ids(body, "unlinkListIds"),
            body.get("emailBlacklisted"),
            body.get("smsBlacklisted"),
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
        """Return the contact that a write means: by email, else ext_id, else a number.

        Raises:
            BrevoError: 400 missing_parameter, the write names no contact.
        """
        if not change.identifiers:
            raise BrevoError(400, "email or another identifier is missing", code=MISSING)
        for kind in (EMAIL, EXT_ID, *PHONES):
            if kind in change.identifiers:
                contact = self.find(kind, change.identifiers[kind])
                if contact is not None:
                    return contact
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
            message = f"{', '.join(kinds)} already associated with another Contact"
            raise BrevoError(400, message, code="duplicate_parameter", duplicates=kinds)

    def create(self, change: Change) -> AccountContact:
        """Add a contact whose identifiers were checked."""
        now = self._clock()
        contact = AccountContact(self._next_id, now, now)
        self._next_id += 1
        self.contacts[contact.id] = contact
        self._change(contact, change)
        return contact

    def update(self, contact: AccountContact, change: Change) -> None:
        """Change a contact; identifiers were checked."""
        contact.modified_at = self._clock()
        contact.times_updated += 1
        self._change(contact, change)

    def delete(self, contact: AccountContact) -> None:
        """Remove a contact; its identifiers are free again."""
        for item in contact.identifiers.items():
            self._holders.pop(item, None)
        del self.contacts[contact.id]

    def as_json(self) -> Iterator[JsonObject]:
        """Yield every contact in the order of creation."""
        for contact in list(self.contacts.values()):
            yield contact.as_json() | {
                "times_created": contact.times_created,
                "times_updated": contact.times_updated,
            }

    def _change(self, contact: AccountContact, change: Change) -> None:
        for kind, value in change.identifiers.items():
            if kind in contact.identifiers:
                self._holders.pop((kind, contact.identifiers[kind]), None)
            contact.identifiers[kind] = value
            self._holders[kind, value] = contact.id
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


def _list_ids(body: Mapping[str, Any], key: str) -> frozenset[int]:
    ids = body.get(key) or []
    if not isinstance(ids, list) or not all(isinstance(item, int) for item in ids):
        raise BrevoError(400, f"{key} should be a list of integers", code=INVALID)
    return frozenset(ids)
