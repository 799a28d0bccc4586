"""The contacts of a simulated HubSpot portal, and the values that only one of them may have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_properties import (
    ADDITIONAL_EMAILS,
    EMAIL,
    default_properties,
)
from crmsync_server.sandbox.wire import JsonObject, normalize_email

_FIRST_ID = 101
UniqueValue = tuple[str, str]
"""A property's name and the value it is compared by."""


@dataclass(slots=True)
class PortalContact:
    """One contact; `times_*` count the writes applied to it."""

    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str
    archived: bool = False
    times_created: int = 1
    times_updated: int = 0

    def all_properties(self) -> dict[str, str]:
        """Return the properties with those that HubSpot computes."""
        return self.properties | {
            "createdate": self.created_at,
            "hs_object_id": self.id,
            "lastmodifieddate": self.updated_at,
        }


class Portal:
    """Holds contacts by record id; a value that must be unique leads to one live contact."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and HubSpot's own properties."""
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and the properties added."""
        self.contacts: dict[str, PortalContact] = {}
        self.definitions = default_properties()
        self._holders: dict[UniqueValue, str] = {}

    def find(self, key: str, id_property: str | None = None) -> PortalContact | None:
        """Return the live contact with this record id, or with this value of a unique property.

        Raises:
            HubSpotError: 400, the property does not identify contacts.
        """
        if id_property is None:
            contact = self.contacts.get(key)
            return contact if contact and not contact.archived else None
        definition = self.definitions.get(id_property)
        if definition is None or not definition.has_unique_value:
            message = f"Unable to perform update/upsert by non-unique property {id_property}"
            raise HubSpotError(400, message)
        holder = self._holders.get((id_property, _comparable(id_property, key)))
        return self.contacts[holder] if holder else None

    def merged_values(
        self, contact: PortalContact | None, changes: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the properties a contact would have after a write; an empty value clears one."""
        before = contact.properties if contact else {}
        after = {**before, **changes}
        if EMAIL in changes:
            email = normalize_email(changes[EMAIL])
            own = email in _additional_emails(before)
            after[EMAIL] = before[EMAIL] if own else email
        return {name: value for name, value in after.items() if value != ""}

    def unique_values(self, properties: Mapping[str, str]) -> list[UniqueValue]:
        """Return the values among these properties that no other contact may have."""
        single = [
            (name, _comparable(name, value))
            for name, value in properties.items()
            if self.definitions[name].has_unique_value
        ]
        return single + [(EMAIL, email) for email in _additional_emails(properties)]

    def check_free(self, contact: PortalContact | None, properties: Mapping[str, str]) -> None:
        """Check that no other contact holds one of these values.

        Raises:
            HubSpotError: 409, naming the contact that does.
        """
        for value in self.unique_values(properties):
            holder = self._holders.get(value)
            if holder is not None and (contact is None or holder != contact.id):
                raise HubSpotError(409, f"Contact already exists. Existing ID: {holder}")

    def create(self, properties: dict[str, str]) -> PortalContact:
        """Add a contact whose values were checked."""
        now = self._now()
        contact = PortalContact(str(_FIRST_ID + len(self.contacts)), properties, now, now)
        self.contacts[contact.id] = contact
        self._hold(contact)
        return contact

    def update(self, contact: PortalContact, properties: dict[str, str]) -> None:
        """Replace a contact's properties by values that were checked."""
        self._release(contact)
        contact.properties = properties
        contact.updated_at = self._now()
        contact.times_updated += 1
        self._hold(contact)

    def archive(self, contact: PortalContact) -> None:
        """Delete a contact: its id stays retired, its unique values are free again."""
        self._release(contact)
        contact.archived = True
        contact.updated_at = self._now()

    def merge(self, primary: PortalContact, secondary: PortalContact) -> PortalContact:
        """Retire two contacts in favour of a new one with the primary's values before all."""
        self.archive(primary)
        self.archive(secondary)
        emails = [
            *_additional_emails(primary.properties),
            secondary.properties.get(EMAIL, ""),
            *_additional_emails(secondary.properties),
        ]
        additional = ";".join(email for email in emails if email)
        properties = secondary.properties | primary.properties
        return self.create(properties | ({ADDITIONAL_EMAILS: additional} if additional else {}))

    def as_json(self) -> Iterator[JsonObject]:
        """Yield every contact, archived ones too, in the order of creation."""
        for contact in list(self.contacts.values()):
            yield {
                "id": contact.id,
                "email": contact.properties.get(EMAIL),
                "properties": contact.properties,
                "archived": contact.archived,
                "times_created": contact.times_created,
                "times_updated": contact.times_updated,
            }

    def _hold(self, contact: PortalContact) -> None:
        self._holders |= dict.fromkeys(self.unique_values(contact.properties), contact.id)

    def _release(self, contact: PortalContact) -> None:
        for value in self.unique_values(contact.properties):
            self._holders.pop(value, None)

    def _now(self) -> str:
        return isoformat(self._clock())


def _comparable(name: str, value: str) -> str:
    return normalize_email(value) if name == EMAIL else value


def _additional_emails(properties: Mapping[str, str]) -> list[str]:
    emails = properties.get(ADDITIONAL_EMAILS, "").split(";")
    return [normalize_email(email) for email in emails if email.strip()]
