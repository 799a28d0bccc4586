"""HubSpot's contact properties as fields: what they hold, and how one is asked for."""

from collections.abc import Mapping, Sequence

from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    NewField,
)
from crmsync_server.crm.hubspot_properties import is_custom, is_read_only
from crmsync_server.crm.hubspot_writes import FIELDS
from crmsync_server.crm.replies import mappings, text

GROUP = "crmsync"
_MAPS_TO = {name: field for field, name in FIELDS.items()} | {"email": "email"}
_BY_TYPE = {
    "bool": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATE_TIME,
    "number": FieldType.NUMBER,
    "phone_number": FieldType.PHONE,
    "string": FieldType.TEXT,
}
_STRINGS = {
    "html": FieldType.LONG_TEXT,
    "phonenumber": FieldType.PHONE,
    "textarea": FieldType.LONG_TEXT,
}
_ENUMERATIONS = {"booleancheckbox": FieldType.BOOLEAN, "checkbox": FieldType.MULTI_PICKLIST}
# What is asked for: HubSpot's type, and the form field that shows it.
_ASKED = {
    FieldType.BOOLEAN: ("bool", "booleancheckbox"),
    FieldType.DATE: ("date", "date"),
    FieldType.DATE_TIME: ("datetime", "date"),
    FieldType.EMAIL: ("string", "text"),
    FieldType.LONG_TEXT: ("string", "textarea"),
    FieldType.MULTI_PICKLIST: ("enumeration", "checkbox"),
    FieldType.NUMBER: ("number", "number"),
    FieldType.PHONE: ("string", "phonenumber"),
    FieldType.PICKLIST: ("enumeration", "select"),
    FieldType.TEXT: ("string", "text"),
    FieldType.URL: ("string", "text"),
}
_TRUTH = (Choice("true", "Yes"), Choice("false", "No"))
# All of them are strings to HubSpot, and take each other's values.
_TEXTS = frozenset(
    {FieldType.EMAIL, FieldType.LONG_TEXT, FieldType.PHONE, FieldType.TEXT, FieldType.URL}
)


def field_of(entry: Mapping[str, object]) -> CrmField:
    """Return one property of GET /crm/v3/properties/contacts as a field."""
    name = text(entry.get("name"))
    return CrmField(
        name=name,
        label=text(entry.get("label")) or name,
        type=_type_of(entry),
        vendor_type=text(entry.get("type")),
        read_only=is_read_only(entry),
        unique=entry.get("hasUniqueValue") is True or name == "email",
        custom=is_custom(entry),
        choices=[
            Choice(text(one.get("value")), text(one.get("label")))
            for one in mappings(entry.get("options"))
        ],
        maps_to=_MAPS_TO.get(name, ""),
    )


def _type_of(entry: Mapping[str, object]) -> FieldType:
    kind, shown = text(entry.get("type")), text(entry.get("fieldType"))
    if text(entry.get("name")) == "email":
        return FieldType.EMAIL
    if kind == "enumeration":
        return _ENUMERATIONS.get(shown, FieldType.PICKLIST)
    found = _BY_TYPE.get(kind, FieldType.OTHER)
    return _STRINGS.get(shown, found) if found is FieldType.TEXT else found


def definition(new: NewField) -> Mapping[str, object]:
    """Return what is sent to have a field made; its type must be one that `unfit` lets pass.

    HubSpot's properties have no length of their own.
    """
    kind, shown = _ASKED[new.type]
    choices = _TRUTH if new.type is FieldType.BOOLEAN else new.choices
    options = [
        {"value": one.value, "label": one.label or one.value, "displayOrder": at}
        for at, one in enumerate(choices)
    ]
    return {
        "name": new.name,
        "label": new.label or new.name,
        "type": kind,
        "fieldType": shown,
        "groupName": GROUP,
        **({"options": options} if options else {}),
        **({"hasUniqueValue": True} if new.unique else {}),
    }


def unfit(new: NewField) -> FieldResult | None:
    """Return why HubSpot has no such fields, None where it has."""
    if new.type not in _ASKED:
        return _failed(new, "UNSUPPORTED_TYPE", f"HubSpot has no property of the type {new.type}")
    picks = new.type in {FieldType.PICKLIST, FieldType.MULTI_PICKLIST}
    if picks and not new.choices:
        return _failed(new, "NO_CHOICES", "a picklist needs one choice at least")
    return None


def standing_of(new: NewField, entries: Sequence[Mapping[str, object]]) -> FieldResult | None:
    """Return whether a portal has a field, and with which type; None where it has not."""
    named = [one for one in entries if text(one.get("name")).lower() == new.name.lower()]
    if not named:
        return None
    held = field_of(named[0])
    words = _difference(new, held)
    status = FieldStatus.MISMATCH if words else FieldStatus.EXISTS
    return FieldResult(held.name, status, "FIELD_MISMATCH" if words else "", words)


def _difference(new: NewField, held: CrmField) -> str:
    if held.read_only:
        return "HubSpot computes this property: nothing can be written there"
    if new.type is not held.type and not {new.type, held.type} <= _TEXTS:
        return f"HubSpot's property is of the type {held.type}, not {new.type}"
    if new.unique and not held.unique:
        return "HubSpot's property may hold a value twice, and cannot be made unique later"
    return ""


def _failed(new: NewField, code: str, message: str) -> FieldResult:
    return FieldResult(new.name, FieldStatus.FAILED, code, message)
