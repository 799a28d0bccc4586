"""Somebody at work in Zoho itself, as tests need one: no call, no credit, no fault."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from crmsync_server.sandbox.seeds import instants
from crmsync_server.sandbox.zoho_channels import Channels, Operation
from crmsync_server.sandbox.zoho_organization import PERSON, DeletedType, Organization
from crmsync_server.sandbox.zoho_table import Contact


class ZohoUser:
    """Changes an organization's contacts; their Modified_By says so.

    Every method raises KeyError for an id that leads to no contact, and for a field that does not
    exist. Values are not checked.
    """

    def __init__(self, organization: Organization, channels: Channels) -> None:
        """Work in this organization; its channels are told."""
        self._organization = organization
        self._channels = channels

    def add(self, values: Mapping[str, object]) -> str:
        """Add a contact, and return its id."""
        contact = self._organization.insert(self._known(values), PERSON)
        self._channels.tell("insert", {contact.id: list(values)})
        return str(contact.id)

    def load(
        self, records: Iterable[Mapping[str, object]], modified: datetime | None = None
    ) -> list[str]:
        """Add many contacts of one Modified_Time, of which nobody is told; return their ids.

        Args:
            records: the values of each.
            modified: when they were created and modified; now, if it is not given.
        """
        at = modified.astimezone(UTC).replace(microsecond=0) if modified else None
        insert = self._organization.insert
        return [str(insert(self._known(values), PERSON, at).id) for values in records]

    def edit(self, contact_id: str, changes: Mapping[str, object]) -> None:
        """Change some values of a contact; None clears one."""
        self._organization.update(self._held(contact_id), self._known(changes), PERSON)
        self._channels.tell("update", {int(contact_id): list(changes)})

    def edit_many(self, contact_ids: Iterable[str], changes: Mapping[str, object]) -> None:
        """Change some values of many contacts, as a bulk edit does: one notification for all."""
        contacts = [self._held(contact_id) for contact_id in contact_ids]
        for contact in contacts:
            self._organization.update(contact, self._known(changes), PERSON)
        self._channels.tell("update", {contact.id: list(changes) for contact in contacts})

    def company(self, name: str) -> Mapping[str, object]:
        """Return a company as the `Account_Name` of a contact names it; it is made if need be."""
        held, now = self._organization.accounts, self._organization.now()
        found = held.find(name) or held.add(self._organization.issue_id(), name, now)
        return {"id": str(found.id)}

    def touch(self, *contact_ids: str) -> None:
        """Move the Modified_Time of contacts and nothing else, as Zoho's own processes do."""
        for contact_id in contact_ids:
            contact = self._held(contact_id)
            self._organization.update(contact, {}, contact.modified_by)

    def remove(self, contact_id: str, *, permanent: bool = False) -> None:
        """Delete a contact: into the recycle bin, or for good."""
        kind: DeletedType = "permanent" if permanent else "recycle"
        self._organization.delete(self._held(contact_id), PERSON, kind)
        self._channels.tell("delete", {int(contact_id): []})

    def empty_bin(self) -> None:
        """Delete for good what is in the recycle bin."""
        gone = [replace(one, type="permanent") for one in self._organization.deleted]
        self._organization.deleted[:] = gone

    def merge(self, loser: str, winner: str) -> str:
        """Merge one contact into another, which gets what only the loser had; return its id.

        The loser is gone for good.
        """
        lost, kept = self._held(loser), self._held(winner)
        if lost is kept:
            raise KeyError(loser)
        taken = {name: one for name, one in lost.values.items() if name not in kept.values}
        self._organization.delete(lost, PERSON, "permanent")
        self._organization.update(kept, taken, PERSON)
        self._channels.tell("delete", {lost.id: []})
        self._channels.tell("update", {kept.id: list(taken)})
        return winner

    def seed(self, count: int, *, over: timedelta = timedelta()) -> list[str]:
        """Add contacts by the hundred thousand, and return their ids; nobody is told of them.

        They were made now, all at one instant, or evenly `over` the time that ends now. The first
        ever is seed1@example.com.
        """
        first = self._organization.seeded + 1
        self._organization.seeded += count
        times = instants(self._organization.now(), count, over)
        insert = self._organization.insert
        return [
            str(insert(_seed(first + at), PERSON, time.replace(microsecond=0)).id)
            for at, time in enumerate(times)
        ]

    def lock(self, *contact_ids: str) -> None:
        """Lock contacts: the API's updates of them are refused with RECORD_LOCKED."""
        self._organization.locked |= {self._held(one).id for one in contact_ids}

    def unlock(self, *contact_ids: str) -> None:
        """Unlock contacts."""
        self._organization.locked -= {int(one) for one in contact_ids}

    def notify(self, operation: Operation, *contact_ids: str) -> None:
        """Tell the channels of contacts, whether anything happened to them or not."""
        self._channels.tell(operation, {int(one): [] for one in contact_ids})

    def _held(self, contact_id: str) -> Contact:
        return self._organization.live.contacts[int(contact_id)]

    def _known(self, values: Mapping[str, object]) -> Mapping[str, object]:
        for name in values:
            if name not in self._organization.fields:
                raise KeyError(name)
        return values


def _seed(number: int) -> dict[str, object]:
    return {
        "Email": f"seed{number}@example.com",
        "First_Name": f"First{number}",
        "Last_Name": f"Last{number}",
    }
