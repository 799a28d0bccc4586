"""The contacts of a simulated Mautic, and how a write finds and changes one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_fields import EMAIL, FieldDefinition, own_fields
from crmsync_server.sandbox.timeline import SortedIds, Timeline, milliseconds
from crmsync_server.sandbox.wire import JsonObject, is_email, normalize_email

API_USER = 1
"""Whose credentials the API is called with."""
OTHER_USER = 2
"""Whoever works in Mautic itself."""


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
    created_by: int = API_USER
    times_created: int = 1
    times_updated: int = 0


class InstanceWatcher(Protocol):
    """Is told of every change, after it was made."""

    def created(self, contact: InstanceContact) -> None:
        """Learn of a new contact."""
        ...

    def updated(self, contact: InstanceContact) -> None:
        """Learn of a change."""
        ...

    def deleted(self, contact: InstanceContact) -> None:
        """Learn of a deletion."""
        ...


class Instance:
    """Holds contacts by id; nothing but the way they are written keeps an email unique."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and Mautic's own fields."""
        self._clock = clock
        self.watchers: list[InstanceWatcher] = []
        self.acting = API_USER
        """Who makes the changes that are made now."""
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and the fields added."""
        self.contacts: dict[int, InstanceContact] = {}
        self.ids = SortedIds()
        self.added = Timeline()
        """By creation, in whole seconds since 1970, as the database has it."""
        self.modified = Timeline()
        """By the last change, likewise; those never changed are not in it."""
        self.anonymous: set[int] = set()
        self.fields = own_fields()
        self.next_id = 1
        self._holders: dict[tuple[str, str], SortedIds] = {}

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

    def holders(self, alias: str, value: str) -> list[int]:
        """Return the ids of the contacts with this value of a unique field, ascending."""
        found = self._holders.get((alias, normalize_email(value)))
        return found.ids if found else []

    def match(self, body: Mapping[str, Any]) -> InstanceContact | None:
        """Return the newest contact that has one of the body's unique values."""
        found = [
            self.holders(alias, str(body[alias]))[-1:]
            for alias, definition in self.fields.items()
            if definition.is_unique_identifier and body.get(alias)
        ]
        newest = max((number for ids in found for number in ids), default=None)
        return None if newest is None else self.contacts[newest]

    def create(self, body: Mapping[str, Any]) -> InstanceContact:
        """Add a contact.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        contact = self._add(body, self._clock())
        self.ids.add(contact.id)
        self.added.put(contact.id, seconds(contact.date_added))
        for watcher in self.watchers:
            watcher.created(contact)
        return contact

    def seed(self, rows: Iterable[tuple[dict[str, str], datetime]], *, modified: bool) -> list[int]:
        """Add many contacts, each with its values and when it was made; no webhook tells."""
        seeded = [self._add(values, instant) for values, instant in rows]
        times = [(contact.id, seconds(contact.date_added)) for contact in seeded]
        numbers = [number for number, _ in times]
        self.ids.ids += numbers
        self.added.fill(times)
        if modified:
            for contact in seeded:
                contact.date_modified = contact.date_added
            self.modified.fill(times)
        return numbers

    def update(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        """Change the fields that the body names; empty ones only with `overwriteWithBlank`.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        self._apply(contact, body)
        contact.date_modified = self._clock()
        contact.times_updated += 1
        self.modified.put(contact.id, seconds(contact.date_modified))
        for watcher in self.watchers:
            watcher.updated(contact)

    def edit(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        """Change one contact as `update` does; one that has its new email is merged into it.

        Raises:
            MauticError: 400, a value is malformed.
        """
        _check(body)
        other = self.match(body)
        if other is not None and other is not contact:
            self._absorb(contact, other)
        self.update(contact, body)

    def merge(self, contact: InstanceContact, other: InstanceContact) -> None:
        """Merge another contact into one, which goes before; the other's id is gone."""
        self._absorb(contact, other)
        self.update(contact, {})

    def delete(self, contact: InstanceContact) -> None:
        """Remove a contact."""
        self._release(contact)
        del self.contacts[contact.id]
        self.ids.discard(contact.id)
        self.added.discard(contact.id)
        self.modified.discard(contact.id)
        self.anonymous.discard(contact.id)
        for watcher in self.watchers:
            watcher.deleted(contact)

    def as_json(self, contact: InstanceContact, *, minimal: bool = False) -> JsonObject:
        """Return a contact as Mautic prints it; with `minimal` a few lists are left out."""
        groups: dict[str, JsonObject] = {"core": {}, "social": {}, "personal": {}}
        for alias, definition in self.fields.items():
            one = {**definition.as_json(), "value": contact.values.get(alias)}
            groups.setdefault(definition.group, {})[alias] = one
        flat = {alias: contact.values.get(alias) for alias in self.fields}
        modified = contact.date_modified
        shown = {
            "id": contact.id,
            "isPublished": True,
            "dateAdded": printed(contact.date_added),
            "dateModified": printed(modified) if modified else None,
            "createdBy": contact.created_by,
            "points": 0,
            "fields": {**groups, "all": {"id": contact.id, "points": 0, **flat}},
        }
        if not minimal:
            tags = [{"id": number, "tag": tag} for number, tag in enumerate(contact.tags, 1)]
            shown["tags"] = tags
        return shown

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

    def _add(self, body: Mapping[str, Any], instant: datetime) -> InstanceContact:
        contact = InstanceContact(self.next_id, instant, created_by=self.acting)
        self.next_id += 1
        self.contacts[contact.id] = contact
        self._apply(contact, body)
        return contact

    def _absorb(self, contact: InstanceContact, other: InstanceContact) -> None:
        self._release(contact)
        contact.values = other.values | contact.values
        contact.tags = contact.tags | other.tags
        self._hold(contact)
        self.delete(other)

    def _hold(self, contact: InstanceContact) -> None:
        for key in self._unique_values(contact):
            self._holders.setdefault(key, SortedIds()).add(contact.id)
        if any(contact.values.values()):
            self.anonymous.discard(contact.id)
        else:
            self.anonymous.add(contact.id)

    def _release(self, contact: InstanceContact) -> None:
        for key in self._unique_values(contact):
            self._holders[key].discard(contact.id)
            if not self._holders[key]:
                del self._holders[key]

    def _unique_values(self, contact: InstanceContact) -> list[tuple[str, str]]:
        return [
            (alias, normalize_email(value))
            for alias, value in contact.values.items()
            if self.fields[alias].is_unique_identifier
        ]

    def _apply(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
        self._release(contact)
        self._write(contact, body)
        self._hold(contact)

    def _write(self, contact: InstanceContact, body: Mapping[str, Any]) -> None:
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


def seconds(instant: datetime) -> int:
    """Return the whole seconds since 1970 of an instant."""
    return milliseconds(instant) // 1000


def printed(instant: datetime) -> str:
    """Return an instant as Mautic prints it."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")
