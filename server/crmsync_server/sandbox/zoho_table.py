"""Contacts in every order they are asked for, and by the values they are looked up by.

A contact never changes: a write puts a new version in its place. So an index that lags behind
keeps the old version by merely holding it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from crmsync_server.sandbox.wire import JsonObject

Key: TypeAlias = tuple[datetime | int, ...]
"""What a contact is ordered by: its id last, so that no two are the same."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who writes contacts: at the screens, or through the API."""

    id: str
    name: str
    email: str

    def as_json(self) -> JsonObject:
        """Return the user as contacts name it."""
        return {"name": self.name, "id": self.id, "email": self.email}


@dataclass(frozen=True, slots=True)
class Contact:
    """One version of a contact; times are whole seconds, as Zoho keeps them."""

    id: int
    values: Mapping[str, object]
    created: datetime
    modified: datetime
    created_by: User
    modified_by: User
    times_updated: int = 0


ORDERS: Mapping[str, Callable[[Contact], Key]] = {
    "id": lambda contact: (contact.id,),
    "Created_Time": lambda contact: (contact.created, contact.id),
    "Modified_Time": lambda contact: (contact.modified, contact.id),
}


class Table:
    """Contacts by id, in order, and by looked-up value. Adding the newest costs next to nothing."""

    def __init__(self, looked_up: tuple[str, ...]) -> None:
        """Start empty; contacts are looked up by these fields, in any case of letters."""
        self.contacts: dict[int, Contact] = {}
        self.version = 0
        self._orders: dict[str, list[Key]] = {name: [] for name in ORDERS}
        self._found: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in looked_up}

    def look_up_by(self, name: str) -> None:
        """Look contacts up by one more field from now on."""
        self._found[name] = {}
        for contact in self.contacts.values():
            self._hold(name, contact)

    def order(self, name: str) -> list[Key]:
        """Return all keys of an order, ascending; not to be changed."""
        return self._orders[name]

    def find(self, name: str, value: object) -> list[Contact]:
        """Return the contacts with this value in a looked-up field, oldest first.

        Raises:
            KeyError: contacts are not looked up by this field.
        """
        ids = self._found[name].get(comparable(value), ())
        return [self.contacts[one] for one in sorted(ids)]

    def is_looked_up(self, name: str) -> bool:
        """Say whether contacts are looked up by this field."""
        return name in self._found

    def put(self, contact: Contact) -> None:
        """Add a contact, or replace its version."""
        before = self.contacts.get(contact.id)
        self.contacts[contact.id] = contact
        self.version += 1
        for name, key_of in ORDERS.items():
            if before is None or key_of(before) != key_of(contact):
                self._place(name, before, key_of(contact))
        for name in self._found:
            if before is None or before.values.get(name) != contact.values.get(name):
                self._let_go(name, before)
                self._hold(name, contact)

    def drop(self, contact_id: int) -> None:
        """Take a contact out, if it is there."""
        contact = self.contacts.pop(contact_id, None)
        if contact is None:
            return
        self.version += 1
        for name, key_of in ORDERS.items():
            _remove(self._orders[name], key_of(contact))
        for name in self._found:
            self._let_go(name, contact)

    def _place(self, name: str, before: Contact | None, key: Key) -> None:
        keys = self._orders[name]
        if before is not None:
            _remove(keys, ORDERS[name](before))
        if not keys or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key)

    def _hold(self, name: str, contact: Contact) -> None:
        value = contact.values.get(name)
        if value is not None:
            found, key = self._found[name], comparable(value)
            found[key] = (*found.get(key, ()), contact.id)

    def _let_go(self, name: str, contact: Contact | None) -> None:
        value = contact.values.get(name) if contact else None
        if contact is None or value is None:
            return
        found, key = self._found[name], comparable(value)
        left = tuple(one for one in found[key] if one != contact.id)
        if left:
            found[key] = left
        else:
            del found[key]


def comparable(value: object) -> str:
    """Return the form under which values are looked up and unique: trimmed, lower case."""
    return str(value).strip().lower()


def _remove(keys: list[Key], key: Key) -> None:
    del keys[bisect_left(keys, key)]
