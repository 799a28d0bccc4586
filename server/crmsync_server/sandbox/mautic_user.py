"""Somebody at work in Mautic itself, as tests need one: no call, no limit, no fault."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_fields import EMAIL
from crmsync_server.sandbox.mautic_instance import OTHER_USER, Instance, InstanceContact
from crmsync_server.sandbox.seeds import instants


class MauticUser:
    """Changes an instance's contacts; those it adds were not created by the API's user.

    Fields are aliases, and `tags`. Every method raises KeyError for an id that is none, and
    `MauticError` for values that Mautic does not take.
    """

    def __init__(self, instance: Instance, clock: Clock) -> None:
        """Work in this instance."""
        self._instance = instance
        self._clock = clock

    def add(self, fields: Mapping[str, Any]) -> str:
        """Add a contact, also one whose email another has; return its id. No fields: a visitor."""
        with self._at_work():
            return str(self._instance.create(self._checked(fields)).id)

    def edit(self, contact_id: str, fields: Mapping[str, Any]) -> None:
        """Change a contact; an empty value clears a field."""
        contact, body = self._contact(contact_id), self._checked(fields)
        with self._at_work():
            self._instance.update(contact, {**body, "overwriteWithBlank": True})

    def edit_many(self, contact_ids: Iterable[str], fields: Mapping[str, Any]) -> None:
        """Change many contacts, as a bulk edit does."""
        for contact_id in contact_ids:
            self.edit(contact_id, fields)

    def remove(self, contact_id: str) -> None:
        """Delete a contact."""
        contact = self._contact(contact_id)
        with self._at_work():
            self._instance.delete(contact)

    def merge(self, loser: str, winner: str) -> str:
        """Merge one contact into another, which gets what only the loser had; return its id."""
        gone, left = self._contact(loser), self._contact(winner)
        if gone is left:
            raise KeyError(loser)
        with self._at_work():
            self._instance.merge(left, gone)
        return winner

    def seed(
        self, count: int, *, over: timedelta = timedelta(), modified: bool = False
    ) -> list[str]:
        """Add contacts by the hundred thousand, and return their ids; no webhook tells of them.

        They were made now, all at one instant, or evenly `over` the time that ends now; with
        `modified` they were changed at the same instant, without it never. The first ever is
        seed1@example.com.
        """
        first = self._instance.next_id
        times = instants(self._clock(), count, over)
        rows = ((_values(first + at), time) for at, time in enumerate(times))
        with self._at_work():
            return list(map(str, self._instance.seed(rows, modified=modified)))

    def _contact(self, contact_id: str) -> InstanceContact:
        if not contact_id.isdecimal() or int(contact_id) not in self._instance.contacts:
            raise KeyError(contact_id)
        return self._instance.contacts[int(contact_id)]

    def _checked(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        for alias in fields:
            if alias not in self._instance.fields and alias != "tags":
                raise MauticError(400, f"There is no field {alias}.")
        return fields

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        before, self._instance.acting = self._instance.acting, OTHER_USER
        try:
            yield
        finally:
            self._instance.acting = before


def _values(number: int) -> dict[str, str]:
    return {
        EMAIL: f"seed{number}@example.com",
        "firstname": f"First{number}",
        "lastname": f"Last{number}",
    }
