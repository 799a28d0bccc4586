"""The contact fields of a simulated Mautic: its own, and those that were added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.wire import JsonObject

EMAIL = "email"
_TYPES = frozenset(
    {
        "boolean",
        "country",
        "date",
        "datetime",
        "email",
        "lookup",
        "multiselect",
        "number",
        "region",
        "select",
        "tel",
        "text",
        "textarea",
        "url",
    }
)
_LONGEST_ALIAS = 25
_OWN = {
    "title": "lookup",
    "firstname": "text",
    "lastname": "text",
    "company": "text",
    "position": "text",
    EMAIL: "email",
    "mobile": "tel",
    "phone": "tel",
    "city": "text",
    "country": "country",
    "website": "url",
}


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One contact field; the alias is its name in the API."""

    id: int
    alias: str
    label: str
    type: str = "text"
    group: str = "core"
    is_unique_identifier: bool = False

    @classmethod
    def parse(cls, number: int, body: Mapping[str, Any]) -> "FieldDefinition":
        """Read the body that adds a field.

        Raises:
            MauticError: 400, a label, type or alias that Mautic does not take.
        """
        label, kind = str(body.get("label") or ""), str(body.get("type") or "text")
        alias = str(body.get("alias") or label).lower().replace(" ", "_")
        if not label:
            raise MauticError(400, "label: A label is required.", details={"label": ["required"]})
        if kind not in _TYPES:
            raise MauticError(400, f"type: {kind} is not valid.", details={"type": ["not valid"]})
        if len(alias) > _LONGEST_ALIAS:
            raise MauticError(400, "alias: It is too long.", details={"alias": ["too long"]})
        group, unique = str(body.get("group") or "core"), bool(body.get("isUniqueIdentifier"))
        return cls(number, alias, label, kind, group, unique)

    def as_json(self) -> JsonObject:
        """Return the field as Mautic lists it."""
        return {
            "id": self.id,
            "alias": self.alias,
            "label": self.label,
            "type": self.type,
            "group": self.group,
            "isUniqueIdentifier": self.is_unique_identifier,
            "isPublished": True,
        }


def own_fields() -> dict[str, FieldDefinition]:
    """Return the fields of a new instance by alias; only the email identifies a contact."""
    return {
        alias: FieldDefinition(
            number, alias, alias.capitalize(), kind, is_unique_identifier=alias == EMAIL
        )
        for number, (alias, kind) in enumerate(_OWN.items(), 1)
    }
