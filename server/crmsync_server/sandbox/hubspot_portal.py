"""The contacts of a simulated HubSpot portal, and the values that only one of them may have."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_properties import (
    ADDITIONAL_EMAILS,
    EMAIL,
    MERGED_IDS,
    default_groups,
    default_properties,
)
from crmsync_server.sandbox.timeline import SortedIds
from crmsync_server.sandbox.wire import JsonObject, normalize_email

_FIRST_ID = 101
UniqueValue = tuple[str, str]
"""A property's name and the value it is compared by."""
Source: TypeAlias = Literal["INTEGRATION", "CRM_UI"]
"""Who changes contacts: a caller of the API, or a user."""


@dataclass(slots=True)
class PortalContact:
    """One contact; `times_*` count the writes applied to it."""

    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str
    archived: bool = False
    merged_into: str | None = None
    """The record that an archived one lives on in, where its id leads there."""
    times_created: int = 1
    times_updated: int = 0

    def all_properties(self) -> dict[str, str]:
        """Return the properties with those that HubSpot computes."""
        return self.properties | {
            "createdate": self.created_at,
            "hs_object_id": self.id,
            "lastmodifieddate": self.updated_at,
        }


class PortalWatcher(Protocol):
    """Is told of every change, after it was made."""

    def created(self, contact: PortalContact) -> None:
        """Learn of a new contact."""
        ...

    def seeded(self, contacts: list[PortalContact]) -> None:
        """Learn of many new contacts that nobody is to be told of."""
        ...

    def updated(self, contact: PortalContact, before: dict[str, str]) -> None:
        """Learn of a change; `before` is what the properties were."""
        ...

    def archived(self, contact: PortalContact) -> None:
        """Learn of a deletion."""
        ...

    def merged(self, survivor: PortalContact, primary: PortalContact, other: PortalContact) -> None:
        """Learn of a merge of two contacts, told as they were; a new one may replace both."""
        ...

    def cleared(self) -> None:
        """Learn that nothing is left."""
        ...


class Portal:
    """Holds contacts by record id; a value that must be unique leads to one live contact."""

    def __init__(self, clock: Clock) -> None:
        """Start with no contacts and HubSpot's own properties."""
        self._clock = clock
        self.watchers: list[PortalWatcher] = []
        self.source: Source = "INTEGRATION"
        """Who makes the changes that are made now."""
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and the properties added."""
        self.contacts: dict[str, PortalContact] = {}
        self.live = SortedIds()
        self.deleted = SortedIds()
        """The archived ones but those whose id leads to another contact."""
        self.definitions = default_properties()
        self.groups = default_groups()
        self._holders: dict[UniqueValue, str] = {}
        for watcher in self.watchers:
            watcher.cleared()

    def find(self, key: str, id_property: str | None = None) -> PortalContact | None:
        """Return the live contact with this record id, or with this value of a unique property.

        The id of a contact that was merged away may lead to the one it lives on in.

        Raises:
            HubSpotError: 400, the property does not identify contacts.
        """
        if id_property is None:
            contact = self.contacts.get(key)
            while contact and contact.merged_into:
                contact = self.contacts[contact.merged_into]
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
            after[EMAIL] = (own and before.get(EMAIL)) or email
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
        contact = self._add(properties)
        for watcher in self.watchers:
            watcher.created(contact)
        return contact

    def seed(self, changes: Iterable[tuple[dict[str, str], str]]) -> list[PortalContact]:
        """Add many contacts, each with its properties and when it was made; no webhook tells."""
        seeded = [self._add(properties, instant) for properties, instant in changes]
        for watcher in self.watchers:
            watcher.seeded(seeded)
        return seeded

    def update(self, contact: PortalContact, properties: dict[str, str]) -> None:
        """Replace a contact's properties by values that were checked."""
        before = contact.properties
        self._change(contact, properties)
        for watcher in self.watchers:
            watcher.updated(contact, before)

    def archive(self, contact: PortalContact) -> None:
        """Delete a contact: its id stays retired, its unique values are free again."""
        self._retire(contact, None)
        for watcher in self.watchers:
            watcher.archived(contact)

    def merge(
        self,
        primary: PortalContact,
        other: PortalContact,
        *,
        new_id: bool = True,
        leads_on: bool = False,
    ) -> PortalContact:
        """Merge two contacts; the primary's values go before.

        Args:
            primary: the one that wins.
            other: the one that is merged away.
            new_id: whether a new contact replaces both, or the primary one keeps its id.
            leads_on: whether ids that are retired lead to the contact that is left.
        """
        before = replace(primary), replace(other)
        properties = _merged_properties(primary, other, new_id=new_id)
        survivor_id = str(_FIRST_ID + len(self.contacts)) if new_id else primary.id
        for retired in (primary, other) if new_id else (other,):
            self._retire(retired, survivor_id if leads_on else None)
        survivor = self._add(properties) if new_id else primary
        if not new_id:
            self._change(primary, properties)
        for watcher in self.watchers:
            watcher.merged(survivor, *before)
        return survivor

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

    def _add(self, properties: dict[str, str], instant: str | None = None) -> PortalContact:
        now = instant or self._now()
        number = _FIRST_ID + len(self.contacts)
        contact = self.contacts[str(number)] = PortalContact(str(number), properties, now, now)
        self.live.add(number)
        self._hold(contact)
        return contact

    def _change(self, contact: PortalContact, properties: dict[str, str]) -> None:
        self._release(contact)
        contact.properties = properties
        contact.updated_at = self._now()
        contact.times_updated += 1
        self._hold(contact)

    def _retire(self, contact: PortalContact, merged_into: str | None) -> None:
        self._release(contact)
        contact.archived = True
        contact.merged_into = merged_into
        contact.updated_at = self._now()
        self.live.discard(int(contact.id))
        if merged_into is None:
            self.deleted.add(int(contact.id))

    def _hold(self, contact: PortalContact) -> None:
        self._holders |= dict.fromkeys(self.unique_values(contact.properties), contact.id)

    def _release(self, contact: PortalContact) -> None:
        for value in self.unique_values(contact.properties):
            self._holders.pop(value, None)

    def _now(self) -> str:
        return isoformat(self._clock())


def _merged_properties(
    primary: PortalContact, other: PortalContact, *, new_id: bool
) -> dict[str, str]:
    emails = [
        *_additional_emails(primary.properties),
        other.properties.get(EMAIL, ""),
        *_additional_emails(other.properties),
    ]
    additional = ";".join(email for email in emails if email)
    retired = [primary, other] if new_id else [other]
    earlier = [one.properties.get(MERGED_IDS, "") for one in (primary, other)]
    merged = ";".join(filter(None, [*earlier, *(one.id for one in retired)]))
    properties = other.properties | primary.properties | {MERGED_IDS: merged}
    return properties | ({ADDITIONAL_EMAILS: additional} if additional else {})


def _comparable(name: str, value: str) -> str:
    return normalize_email(value) if name == EMAIL else value


def _additional_emails(properties: Mapping[str, str]) -> list[str]:
    emails = properties.get(ADDITIONAL_EMAILS, "").split(";")
    return [normalize_email(email) for email in emails if email.strip()]
