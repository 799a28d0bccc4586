"""Mautic's contact fields: what their definitions say, and what a new one must be."""

import re
from collections.abc import Mapping, Sequence

from crmsync_server.crm.directory import Choice, CrmField, FieldType, NewField
from crmsync_server.crm.mautic_rows import EMAIL, FIELDS, RESERVED
from crmsync_server.crm.replies import count, mapping, mappings, text

# What is made for a type.
MADE = {
    FieldType.TEXT: "text",
    FieldType.LONG_TEXT: "textarea",
    FieldType.NUMBER: "number",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.DATE_TIME: "datetime",
    FieldType.EMAIL: "email",
    FieldType.PHONE: "tel",
    FieldType.URL: "url",
    FieldType.PICKLIST: "select",
    FieldType.MULTI_PICKLIST: "multiselect",
}
# A lookup only suggests; of the others Mautic keeps the choices to itself.
_TYPES = {
    **{made: kind for kind, made in MADE.items()},
    "lookup": FieldType.TEXT,
    "html": FieldType.LONG_TEXT,
    **dict.fromkeys(("country", "region", "locale", "timezone"), FieldType.PICKLIST),
}
_CHOOSES = frozenset({FieldType.PICKLIST, FieldType.MULTI_PICKLIST})
_MAPS_TO = {EMAIL: EMAIL, **{alias: field for field, alias in FIELDS.items()}}
# Mautic itself keeps them.
_READ_ONLY = frozenset({"last_active"})
OWN = frozenset(
    {
        *_MAPS_TO,
        *_READ_ONLY,
        "title",
        "position",
        "mobile",
        "points",
        "fax",
        "address1",
        "address2",
        "city",
        "state",
        "zipcode",
        "country",
        "preferred_locale",
        "timezone",
        "attribution",
        "attribution_date",
        "website",
        "facebook",
        "foursquare",
        "instagram",
        "linkedin",
        "skype",
        "twitter",
    }
)
"""The aliases of fields that every Mautic has."""
# It becomes the name of a column, of 25 characters at most.
_ALIAS = re.compile(r"[a-z][a-z0-9_]{0,24}")


def is_on(value: object) -> bool:
    """Tell whether a switch is on: PHP shows true, 1 or "1"."""
    return value is True or text(value) == "1"


def field_of(definition: Mapping[str, object]) -> CrmField:
    """Return a field by its definition."""
    alias, kind = text(definition.get("alias")), text(definition.get("type"))
    return CrmField(
        alias,
        text(definition.get("label")) or alias,
        _TYPES.get(kind, FieldType.OTHER),
        kind,
        max_length=count(text(definition.get("charLengthLimit"))) or None,
        required=is_on(definition.get("isRequired")),
        read_only=alias in _READ_ONLY,
        unique=is_on(definition.get("isUniqueIdentifier")),
        custom=alias not in OWN,
        choices=_choices(mapping(definition.get("properties"))),
        maps_to=_MAPS_TO.get(alias, ""),
    )


def _choices(properties: Mapping[str, object]) -> Sequence[Choice]:
    """Return the choices of a field: objects, or in fields from older versions a text."""
    listed = properties.get("list")
    if isinstance(listed, str):
        return tuple(Choice(one.strip(), one.strip()) for one in listed.split("|") if one.strip())
    return tuple(Choice(text(one.get("value")), text(one.get("label"))) for one in mappings(listed))


def wrong(field: NewField) -> tuple[str, str] | None:
    """Return a code and what is wrong with a field that Mautic cannot have."""
    if not _ALIAS.fullmatch(field.name):
        told = "must be small letters, digits and underscores, at most 25, a letter first"
        return "INVALID_NAME", f"the alias {field.name[:100]!r} {told}"
    if field.name in RESERVED:
        return "INVALID_NAME", f"the alias {field.name} is Mautic's own"
    if field.type not in MADE:
        return "INVALID_TYPE", f"Mautic has no fields of the type {field.type}"
    if field.type in _CHOOSES and not field.choices:
        return "INVALID_CHOICES", "choices are missing"
    return None


def body(field: NewField) -> dict[str, object]:
    """Return what makes a field."""
    made: dict[str, object] = {
        "label": field.label or field.name,
        "alias": field.name,
        "type": MADE[field.type],
        "group": "core",
        "isUniqueIdentifier": field.unique,
    }
    if field.type in _CHOOSES:
        made["properties"] = {
            "list": [{"label": one.label or one.value, "value": one.value} for one in field.choices]
        }
    return made
