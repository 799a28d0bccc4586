"""The contacts of a simulated Mautic, and how a write finds and changes one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_fields import EMAIL, FieldDefinition, own_fields
from crmsync_server.sandbox.wire import JsonObject, is_email, normalize_email


@dataclass(slots=True)
class InstanceContact:
    """One contact; `times_*` count the writes applied to it."""

    id: int
    date_added: datetime
    date_modified: datetime | None = None
    """Stays None until the contact is changed for the first time."""
    values: dict[str, str] = field(default_factory=dict)
    """By field alias."""
    tags: dict[str, None] = field(default_factory=dict)
    """A set in the order of addition."""
    times_created: int = 1
    times_updated: int = 0


class Instance:
    """Holds contacts by id; nothing but the way they are written keeps an email unique."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and Mautic's own fields."""
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and the fields added."""
        self.contacts: dict[int, InstanceContact] = {}
        self.fields = own_fields()
        self._next_id = 1

    def add_field(self, body: Mapping[str, Any]) -> FieldDefinition:
        """Add a field.

        Raises:
            MauticError: 400, the body is wrong or the alias is taken.
        """
        definition = FieldDefinition.parse(len(self.fields) + 1, body)
        if definition.alias in self.fields:
            raise MauticError(400, "alias: It is already used.", details={"alias": ["used"]})
        self.fields[definition.alias] = definition
        return definition

    def match(self, body: Mapping[str, Any]) -> InstanceContact | None:
        """Return the newest contact that has one of the body's unique values."""
        wanted = {
            alias: normalize_email(str(body[alias]))
            for alias, definition in self.fields.items()
            if definition.is_unique_identifier and body.get(alias)
        }
        for contact in reversed(self.contacts.values()):
            held = contact.values
            if any(normalize_email(held.get(alias, "")) == wanted[alias] for alias in wanted):
                return contact
        return None

    def create(self, body: Mapping[str, Any]) -> InstanceContact:
        """Add a contact.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        contact = InstanceContact(self._next_id, self._clock())
        self._next_id += 1
        self._apply(contact, body)
        self.contacts[contact.id] = contact
        return contact

    def update(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        """Change the fields that the body names; empty ones only with `overwriteWithBlank`.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        self._apply(contact, body)
        contact.date_modified = self._clock()
        contact.times_updated += 1

    def edit(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        """Change one contact as `update` does; one that has its new email is merged into it.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        other = self.match(body)
        if other is not None and other is not contact:
            contact.values = other.values | contact.values
            contact.tags = contact.tags | other.tags
            del self.contacts[other.id]
        self.update(contact, body)

    def as_json(self, contact: InstanceContact) -> JsonObject:
        """Return a contact as Mautic prints it."""
        groups: dict[str, JsonObject] = {"core": {}, "social": {}, "personal": {}}
        for alias, definition in self.fields.items():
            shown = {**definition.as_json(), "value": contact.values.get(alias)}
            groups.setdefault(definition.group, {})[alias] = shown
        flat = {alias: contact.values.get(alias) for alias in self.fields}
        modified = contact.date_modified
        return {
            "id": contact.id,
            "isPublished": True,
            "dateAdded": _printed(contact.date_added),
            "dateModified": _printed(modified) if modified else None,
            "points": 0,
            "tags": [{"id": number, "tag": tag} for number, tag in enumerate(contact.tags, 1)],
            "fields": {**groups, "all": {"id": contact.id, "points": 0, **flat}},
        }

    def inspected(self) -> Iterator[JsonObject]:
        """Yield `{id, email, fields, tags, times_created, times_updated}` of each contact."""
        for contact in self.contacts.values():
            yield {
                "id": contact.id,
                "email": contact.values.get(EMAIL, ""),
                "fields": dict(contact.values),
                "tags": list(contact.tags),
                "times_created": contact.times_created,
                "times_updated": contact.times_updated,
            }

    def _apply(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        clears = bool(body.get("overwriteWithBlank"))
        # An alias that no field has is dropped without a word.
        for alias in self.fields.keys() & body.keys():
            value = "" if body[alias] is None else str(body[alias])
            if _is_zero(value):
                continue
            if value:
                contact.values[alias] = value
            elif clears:
                contact.values.pop(alias, None)
        for tag in map(str, body.get("tags") or ()):
            if tag.startswith("-"):
                contact.tags.pop(tag[1:], None)
            else:
                contact.tags[tag] = None


def _check(body: Mapping[str, Any]) -> None:
    email = body.get(EMAIL)
    if email and not is_email(str(email)):
        message = f"{email} is not a valid email address."
        raise MauticError(400, f"email: {message}", details={EMAIL: [message]})
    if not isinstance(body.get("tags") or [], list):
        raise MauticError(400, "tags: This value is not valid.", details={"tags": ["not valid"]})


def _is_zero(value: str) -> bool:
    """Tell what POST and PATCH leave out: a zero might be a default that nobody meant."""
    try:
        return int(float(value)) == 0
    except (ValueError, OverflowError):
        return False


def _printed(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
