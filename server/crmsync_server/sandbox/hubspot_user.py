"""Somebody at work in HubSpot itself, as tests need one: no call, no limit, no fault."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_contacts import MergeRules
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact
from crmsync_server.sandbox.hubspot_properties import EMAIL, check_values
from crmsync_server.sandbox.seeds import instants


class HubSpotUser:
    """Changes a portal's contacts; webhooks say CRM_UI of it.

    Every method raises KeyError for an id that leads to no contact, and `HubSpotError` for values
    that HubSpot does not take.
    """

    def __init__(self, portal: Portal, merging: MergeRules, clock: Clock) -> None:
        """Work in this portal."""
        self._portal = portal
        self._merging = merging
        self._clock = clock

    def add(self, fields: Mapping[str, str]) -> str:
        """Add a contact with these properties, and return its id."""
        with self._at_work():
            return self._portal.create(self._checked(None, fields)).id

    def edit(self, contact_id: str, fields: Mapping[str, str]) -> None:
        """Change properties of a contact; an empty value clears one."""
        contact = self._contact(contact_id)
        with self._at_work():
            self._portal.update(contact, self._checked(contact, fields))

    def edit_many(self, contact_ids: Iterable[str], fields: Mapping[str, str]) -> None:
        """Change properties of many contacts, as a bulk edit does."""
        for contact_id in contact_ids:
            self.edit(contact_id, fields)

    def remove(self, contact_id: str) -> None:
        """Delete a contact."""
        contact = self._contact(contact_id)
        with self._at_work():
            self._portal.archive(contact)

    def merge(self, loser: str, winner: str) -> str:
        """Merge one contact into another, and return the id of the one that is left."""
        primary, other = self._contact(winner), self._contact(loser)
        if primary is other:
            raise KeyError(loser)
        rules = self._merging
        with self._at_work():
            return self._portal.merge(
                primary, other, new_id=rules.new_id, leads_on=rules.leads_on
            ).id

    def seed(self, count: int, *, over: timedelta = timedelta()) -> list[str]:
        """Add contacts by the hundred thousand, and return their ids.

        They are in the index at once and no webhook tells of them. They were made now, all at one
        instant, or evenly `over` the time that ends now. The first ever is seed1@example.com.
        """
        first = len(self._portal.contacts) + 1
        times = map(isoformat, instants(self._clock(), count, over))
        rows = ((_properties(first + at), time) for at, time in enumerate(times))
        return [contact.id for contact in self._portal.seed(rows)]

    def _contact(self, contact_id: str) -> PortalContact:
        contact = self._portal.find(contact_id)
        if contact is None:
            raise KeyError(contact_id)
        return contact

    def _checked(self, contact: PortalContact | None, fields: Mapping[str, str]) -> dict[str, str]:
        for error in check_values(self._portal.definitions, fields):
            raise error
        properties = self._portal.merged_values(contact, fields)
        self._portal.check_free(contact, properties)
        return properties

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._portal.source = "CRM_UI"
        try:
            yield
        finally:
            self._portal.source = "INTEGRATION"


def _properties(number: int) -> dict[str, str]:
    return {
        EMAIL: f"seed{number}@example.com",
        "firstname": f"First{number}",
        "lastname": f"Last{number}",
    }
