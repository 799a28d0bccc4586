"""The two sides of a conflict: what its texts are as the contact has it, and as the CRM has it."""

from collections.abc import Mapping
from dataclasses import dataclass

from crmsync_server.store.content import Content
from crmsync_server.sync.canonical import Value, empty, same
from crmsync_server.sync.channels import Channels, fields_of, tags_of, text_of, with_fields
from crmsync_server.sync.lane_config import LaneConfig


@dataclass(frozen=True, slots=True)
class Sides:
    """How one organization's contacts and their records at one CRM correspond.

    Fields go by the contact's names; see Channels.
    """

    channels: Channels
    region: str

    @classmethod
    def of(cls, config: LaneConfig) -> "Sides":
        """Return what a configuration makes of it."""
        return cls(Channels(config.mapping), config.merging.phone_region)

    def ours(self, content: Content, field: str) -> str:
        """Return what the contact has."""
        return text_of(fields_of(content).get(field, ""))

    def offered(self, field: str, theirs: str) -> str | None:
        """Return what the record has as the contact would have it; None where it could not."""
        slot = self.channels.slot_of(field)
        if slot is None:
            return theirs
        here = self.channels.of_slots({slot: _value(slot, theirs)}).here
        return text_of(here[field]) if field in here else None

    def with_results(self, content: Content, results: Mapping[str, str]) -> Content:
        """Return what the contact says with these results."""
        return with_fields(content, results)

    def seen(self, theirs: Mapping[str, str]) -> Mapping[str, Value]:
        """Return what the record has by slot, as bases keep it."""
        return {
            slot: _value(slot, text)
            for field, text in theirs.items()
            if (slot := self.channels.slot_of(field)) is not None
        }

    def lacks(self, content: Content, theirs: Mapping[str, str]) -> bool:
        """Tell whether the record lacks what the contact says in any of these fields.

        An email that the contact lacks is none: no delivery takes it away.
        """
        told, naming = self.channels.of_contact(content).there, self.channels.field_at("email")
        return any(
            not same(told.get(field, ""), text, self.channels.kind_of(field), self.region)
            for field, text in theirs.items()
            if field != naming or not empty(told.get(field, ""))
        )


def _value(slot: str, text: str) -> Value:
    return tags_of(text) if slot == "tags" else text
