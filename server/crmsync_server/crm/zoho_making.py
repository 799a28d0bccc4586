"""Fields of Zoho in neutral words, and what is sent to make one."""

from collections.abc import Iterable, Mapping

from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    NewField,
)
from crmsync_server.crm.replies import mappings, text
from crmsync_server.crm.zoho_fields import Field
from crmsync_server.crm.zoho_rows import EMAIL, OWNED

UNSUPPORTED = "UNSUPPORTED_TYPE"
_MISMATCH = "TYPE_MISMATCH"
_MAKES: Mapping[FieldType, str] = {
    FieldType.TEXT: "text",
    FieldType.LONG_TEXT: "textarea",
    FieldType.NUMBER: "double",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.DATE_TIME: "datetime",
    FieldType.EMAIL: "email",
    FieldType.PHONE: "phone",
    FieldType.URL: "website",
    FieldType.PICKLIST: "picklist",
    FieldType.MULTI_PICKLIST: "multiselectpicklist",
}
_TYPES: Mapping[str, FieldType] = {
    **{kind: found for found, kind in _MAKES.items()},
    "integer": FieldType.NUMBER,
    "bigint": FieldType.NUMBER,
    "currency": FieldType.NUMBER,
    "percent": FieldType.NUMBER,
}
_CHOOSING = frozenset({FieldType.PICKLIST, FieldType.MULTI_PICKLIST})
_TEXT_LENGTH = 255


def described(field: Field, company_field: str) -> CrmField:
    """Return a field in neutral words."""
    about = field.about
    length = about.get("length")
    chosen = mappings(about.get("pick_list_values"))
    choices = [
        Choice(text(one.get("actual_value")), text(one.get("display_value"))) for one in chosen
    ]
    return CrmField(
        field.name,
        text(about.get("field_label")) or text(about.get("display_label")) or field.name,
        _TYPES.get(field.kind, FieldType.OTHER),
        field.kind,
        max_length=length if isinstance(length, int) and length > 0 else None,
        required=about.get("system_mandatory") is True,
        read_only=not field.writable,
        unique=bool(about.get("unique")),
        custom=about.get("custom_field") is True,
        choices=[one for one in choices if one.value],
        maps_to=_maps_to(field.name, company_field),
    )


def _maps_to(name: str, company_field: str) -> str:
    contact = {api: field for field, api in OWNED.items()}
    return {**contact, EMAIL: "email", company_field: "company"}.get(name, "")


def twin(new: NewField, there: Iterable[CrmField]) -> FieldResult | None:
    """Return what is to be said of a field whose name or label is there; None where neither is."""
    names = {new.name.lower(), _named(new.label).lower()}
    labels = {new.label.strip().lower()}
    for one in there:
        if one.name.lower() not in names and one.label.strip().lower() not in labels:
            continue
        if one.type is new.type:
            return FieldResult(one.name, FieldStatus.EXISTS)
        told = f"there is {one.name} of type {one.vendor_type}"
        return FieldResult(one.name, FieldStatus.MISMATCH, _MISMATCH, told)
    return None


def _named(label: str) -> str:
    """Return the API name that Zoho makes of a label."""
    return "_".join(label.split())


def creation(new: NewField) -> dict[str, object] | None:
    """Return what is sent to make a field; None where Zoho has none of its type."""
    kind = _MAKES.get(new.type)
    if kind is None:
        return None
    body: dict[str, object] = {"field_label": new.label or new.name, "data_type": kind}
    if new.type is FieldType.TEXT:
        body["length"] = new.max_length or _TEXT_LENGTH
    elif new.max_length and new.type is not FieldType.LONG_TEXT:
        body["length"] = new.max_length
    if new.type is FieldType.LONG_TEXT:
        body["textarea"] = {"type": "large"}
    if new.type in _CHOOSING:
        body["pick_list_values"] = [
            {"actual_value": one.value, "display_value": one.label or one.value}
            for one in new.choices
        ]
    if new.unique:
        body["unique"] = {"casesensitive": "false"}
    return body
