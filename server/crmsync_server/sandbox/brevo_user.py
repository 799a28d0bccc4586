"""Somebody at work in Brevo itself, as tests need one: no call, no limit, no fault."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_errors import INVALID, BrevoError
from crmsync_server.sandbox.brevo_records import EMAIL, EXT_ID, AccountContact, Change
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.seeds import instants

_OUTSIDE = frozenset(
    {EMAIL, EXT_ID, "listIds", "unlinkListIds", "emailBlacklisted", "smsBlacklisted"}
)
"""What is no attribute."""


class BrevoUser:
    """Changes an account's contacts; webhooks name no API key of it.

    Fields are attributes, and `email`, `ext_id`, `listIds`, `unlinkListIds`, `emailBlacklisted` and
    `smsBlacklisted`. Every method raises KeyError for an id that is none, and `BrevoError` for
    values that Brevo does not take.
    """

    def __init__(self, account: Account, clock: Clock) -> None:
        """Work in this account."""
        self._account = account
        self._clock = clock

    def add(self, fields: Mapping[str, Any]) -> str:
        """Add a contact, and return its id; one with an `SMS` needs no email."""
        change = self._parsed(fields)
        self._account.match(change)
        self._account.check_free(None, change)
        with self._at_work():
            return str(self._account.create(change).id)

    def edit(self, contact_id: str, fields: Mapping[str, Any]) -> None:
        """Change a contact; an empty text clears an attribute."""
        contact, change = self._contact(contact_id), self._parsed(fields)
        self._account.check_free(contact, change)
        with self._at_work():
            self._account.update(contact, change)

    def edit_many(self, contact_ids: Iterable[str], fields: Mapping[str, Any]) -> None:
        """Change many contacts, as a bulk edit does."""
        for contact_id in contact_ids:
            self.edit(contact_id, fields)

    def remove(self, contact_id: str) -> None:
        """Delete a contact."""
        contact = self._contact(contact_id)
        with self._at_work():
            self._account.delete(contact)

    def merge(self, loser: str, winner: str) -> str:
        """Merge one contact into another, which gets what only the loser had; return its id."""
        gone, left = self._contact(loser), self._contact(winner)
        if gone is left:
            raise KeyError(loser)
        identifiers = {k: v for k, v in gone.identifiers.items() if k not in left.identifiers}
        attributes = {k: v for k, v in gone.attributes.items() if k not in left.attributes}
        change = Change({}, identifiers, attributes, frozenset(gone.list_ids))
        with self._at_work():
            self._account.delete(gone)
            self._account.update(left, change)
        return winner

    def seed(self, count: int, *, over: timedelta = timedelta()) -> list[str]:
        """Add contacts by the hundred thousand, and return their ids; no webhook tells of them.

        They were made now, all at one instant, or evenly `over` the time that ends now. The first
        ever is seed1@example.com.
        """
        first = self._account.next_id
        times = instants(self._clock(), count, over)
        rows = ((_change(first + at), time) for at, time in enumerate(times))
        return [str(contact.id) for contact in self._account.seed(rows)]

    def _contact(self, contact_id: str) -> AccountContact:
        if not contact_id.isdecimal() or int(contact_id) not in self._account.contacts:
            raise KeyError(contact_id)
        return self._account.contacts[int(contact_id)]

    def _parsed(self, fields: Mapping[str, Any]) -> Change:
        body = {name: value for name, value in fields.items() if name in _OUTSIDE}
        attributes = {name.upper(): v for name, v in fields.items() if name not in _OUTSIDE}
        for name in attributes:
            if name not in self._account.attributes and name != EMAIL.upper():
                raise BrevoError(400, f"There is no attribute {name}", code=INVALID)
        return self._account.parse({**body, "attributes": attributes})

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._account.by_api = False
        try:
            yield
        finally:
            self._account.by_api = True


def _change(number: int) -> Change:
    identifiers = {EMAIL: f"seed{number}@example.com"}
    attributes = {"FIRSTNAME": f"First{number}", "LASTNAME": f"Last{number}"}
    return Change({}, identifiers, attributes)
