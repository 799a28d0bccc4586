"""Contacts as Zoho shows them, in neutral words; and which fields are asked for to say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crmsync_server.crm.replies import iso_time, mappings, text
from crmsync_server.crm.source import Record
from crmsync_server.crm.zoho_fields import Fields, shown
from crmsync_server.crm.zoho_rows import EMAIL, OWNED, TAG

MODIFIED = "Modified_Time"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which fields are read.

    company: the API name of the field that takes the company; a reference where is_reference.
    custom: custom properties, by the names that were asked for; values are Zoho's names for them.
    """

    company: str
    is_reference: bool
    custom: Mapping[str, str]

    @property
    def names(self) -> Sequence[str]:
        """The fields to ask for, the neutral ones first."""
        neutral = (EMAIL, *OWNED.values(), self.company, TAG, MODIFIED)
        return list(dict.fromkeys([*(one for one in neutral if one), *self.custom.values()]))

    @property
    def exported(self) -> Mapping[str, str]:
        """What a bulk job is asked for, by the fields that it stands for: names, not ids."""
        named = f"{self.company}.{self.company}"
        return {
            name: named if name == self.company and self.is_reference else name
            for name in ("id", *self.names)
            if name != TAG
        }

    def record(self, told: Mapping[str, object], *, tags: bool = True) -> Record:
        """Return a record from what Zoho shows of it; tags: whether it shows them."""
        labels = [text(tag.get("name")) for tag in mappings(told.get(TAG))]
        return Record(
            text(told.get("id")),
            email=shown(told.get(EMAIL)),
            first_name=shown(told.get(OWNED["first_name"])),
            last_name=shown(told.get(OWNED["last_name"])),
            phone=shown(told.get(OWNED["phone"])),
            company=shown(told.get(self.company)) if self.company else None,
            tags=[label for label in labels if label] if tags else None,
            properties={name: shown(told.get(api)) for name, api in self.custom.items()},
            modified_time=iso_time(told.get(MODIFIED)),
        )


def columns(fields: Fields, names: frozenset[str] | None, company_field: str) -> Columns:
    """Return what to read, of the fields that there are.

    names: of custom properties; None means all that the organization has made itself: Zoho's own
        (`Full_Name`, `Modified_By`) would come back changed by every delivery.
    """
    place = fields.find(company_field)
    company = place.name if place else ""
    neutral = {EMAIL, *OWNED.values(), company, TAG, MODIFIED, "id"}
    wanted = sorted(fields.custom if names is None else names)
    found = {name: fields.find(name) for name in wanted}
    custom = {name: one.name for name, one in found.items() if one and one.name not in neutral}
    return Columns(company, place is not None and place.is_reference, custom)
