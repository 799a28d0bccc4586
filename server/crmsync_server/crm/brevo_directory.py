"""What a Brevo account is: its attributes, whose it is, and what its key allows."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.brevo_attributes import Attributes
from crmsync_server.crm.brevo_calls import Brevo, lacking, words
from crmsync_server.crm.brevo_rows import FIELDS, WRITABLE
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    FieldResult,
    FieldStatus,
    FieldType,
    Module,
    NewField,
    Organization,
    Permission,
)
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, count, mapping, mappings, text, texts

_TYPES = {
    "text": FieldType.TEXT,
    "date": FieldType.DATE,
    "float": FieldType.NUMBER,
    "boolean": FieldType.BOOLEAN,
    "multiple-choice": FieldType.MULTI_PICKLIST,
    "category": FieldType.PICKLIST,
}
# What is made for a type: Brevo's dates are days, so that a time of day only fits a text.
_MADE = {
    **dict.fromkeys(
        (
            FieldType.TEXT,
            FieldType.LONG_TEXT,
            FieldType.EMAIL,
            FieldType.PHONE,
            FieldType.URL,
            FieldType.DATE_TIME,
        ),
        "text",
    ),
    FieldType.NUMBER: "float",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.PICKLIST: "category",
    FieldType.MULTI_PICKLIST: "multiple-choice",
}
_CATEGORY = "category"
_PHONES = frozenset({"SMS", "WHATSAPP", "LANDLINE_NUMBER"})
_OWN = frozenset({"FIRSTNAME", "LASTNAME", "OPT_IN", "DOUBLE_OPT-IN", "EXT_ID", *_PHONES})
_NAME = re.compile(r"[A-Z0-9][A-Z0-9_-]*")
_RESERVED = frozenset({"EMAIL", "EXT_ID"})
_MAPS_TO = {name: field for field, name in FIELDS.items()}
_EMAIL = CrmField(
    "EMAIL", "EMAIL", FieldType.EMAIL, "email", required=True, unique=True, maps_to="email"
)


class BrevoDirectory:
    """The account as its owner sees it."""

    def __init__(self, brevo: Brevo, attributes: Attributes) -> None:
        """Take the account's calls and attributes; nothing is called yet."""
        self._brevo = brevo
        self._attributes = attributes

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the address, which is no attribute at Brevo, and every attribute."""
        found = await self._attributes.definitions(fresh=True)
        if isinstance(found, Faulted):
            return unanswered(found.outcome)
        return [_EMAIL, *(_field(one) for one in found if _name(one) not in {"", "EMAIL"})]

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make attributes: numbered choices as a category, everything else as a normal one."""
        found = await self._attributes.definitions(fresh=True)
        if isinstance(found, Faulted):
            return unanswered(found.outcome)
        results: list[FieldResult] = []
        held = {_name(one): _vendor_type(one) for one in found}
        for field in fields:
            result = await self._created(field, held)
            if not isinstance(result, FieldResult):
                return result
            if result.status is FieldStatus.CREATED:
                held[field.name] = _MADE[field.type]
            results.append(result)
        return results

    async def _created(self, field: NewField, held: Mapping[str, str]) -> FieldResult | Trouble:
        wrong = _wrong_name(field) or _wrong(field)
        if wrong:
            return _failed(field, *wrong)
        if field.name in held:
            return _compared(field, held[field.name])
        category = _CATEGORY if field.type is FieldType.PICKLIST else "normal"
        path = f"/attributes/{category}/{field.name}"
        reply = await self._brevo.contacts("POST", path, json=_body(field))
        if not isinstance(reply, Reply):
            return unanswered(reply)
        if reply.status in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            return FieldResult(field.name, FieldStatus.CREATED)
        if reply.status == HTTPStatus.BAD_REQUEST and reply.fields:
            return await self._refused(field, reply)
        return lacking(reply, self._brevo)

    async def _refused(self, field: NewField, reply: Reply) -> FieldResult | Trouble:
        """Look again: somebody else may have made it in between."""
        found = await self._attributes.definitions(fresh=True)
        if isinstance(found, Faulted):
            return unanswered(found.outcome)
        held = {_name(one): _vendor_type(one) for one in found}
        if field.name in held:
            return _compared(field, held[field.name])
        code = text(reply.fields.get("code")).upper() or f"HTTP_{reply.status}"
        return _failed(field, code, words(reply))

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Read a contact and the attributes: a key has no scopes, and tells of no rights."""
        asked = {"contacts.read": ("", {"limit": "1"}), "fields.read": ("/attributes", {})}
        granted: dict[str, bool] = {}
        for name, (path, params) in asked.items():
            reply = await self._brevo.contacts("GET", path, params=params)
            if not isinstance(reply, Reply):
                return unanswered(reply)
            if reply.status not in {HTTPStatus.OK, HTTPStatus.FORBIDDEN} or not reply.fields:
                return lacking(reply, self._brevo)
            granted[name] = reply.status == HTTPStatus.OK
        return [
            *(Permission(name, may, "API key") for name, may in granted.items()),
            Permission("contacts.write", None, "API key"),
            Permission("fields.write", None, "API key", needed=False),
        ]

    async def organization(self) -> Organization | Trouble:
        """Ask whose account it is: one of its hundred other calls an hour."""
        reply = await self._brevo.account()
        if not isinstance(reply, Reply):
            return unanswered(reply)
        email = text(reply.fields.get("email"))
        if reply.status != HTTPStatus.OK or not email:
            return lacking(reply, self._brevo)
        plans = [text(plan.get("type")) for plan in mappings(reply.fields.get("plan"))]
        return Organization(
            text(reply.fields.get("organization_id")) or email,
            name=text(reply.fields.get("companyName")),
            edition=", ".join(dict.fromkeys(filter(None, plans))),
            country=text(mapping(reply.fields.get("address")).get("country")),
            time_zone=text(mapping(reply.fields.get("dateTimePreferences")).get("timezone")),
            email=email,
        )

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return what Brevo keeps, without a call: no account can have more."""
        return [
            Module("contacts", "Contacts", synced=True),
            Module("lists", "Lists"),
            Module("companies", "Companies"),
            Module("deals", "Deals"),
        ]

    async def refresh_token(self) -> datetime | Trouble | None:
        """Return None: an API key does not expire."""
        return None


def _name(definition: Mapping[str, object]) -> str:
    return text(definition.get("name")).upper()


def _vendor_type(definition: Mapping[str, object]) -> str:
    """Return the type of an attribute; those that Brevo works out have their category for one."""
    category = text(definition.get("category"))
    if category == _CATEGORY or category not in WRITABLE:
        return category
    return text(definition.get("type"))


def _field(definition: Mapping[str, object]) -> CrmField:
    name, kind = _name(definition), _vendor_type(definition)
    type_ = FieldType.PHONE if name in _PHONES else _TYPES.get(kind, FieldType.OTHER)
    return CrmField(
        name,
        name,
        type_,
        kind,
        read_only=text(definition.get("category")) not in WRITABLE,
        unique=name in _PHONES,
        custom=name not in _OWN,
        choices=_choices(definition),
        maps_to=_MAPS_TO.get(name, ""),
    )


def _choices(definition: Mapping[str, object]) -> Sequence[Choice]:
    numbered = mappings(definition.get("enumeration"))
    named = texts(definition.get("multiCategoryOptions"))
    return (
        *(Choice(text(one.get("value")), text(one.get("label"))) for one in numbered),
        *(Choice(label, label) for label in named),
    )


def _wrong_name(field: NewField) -> tuple[str, str] | None:
    if not _NAME.fullmatch(field.name):
        told = "must be capitals, digits, dashes and underscores only, as in LEAD_SCORE"
        return "INVALID_NAME", f"the name {field.name[:100]!r} {told}"
    if field.name in _RESERVED:
        return "INVALID_NAME", f"the name {field.name} is Brevo's own"
    return None


def _wrong(field: NewField) -> tuple[str, str] | None:
    """Return a code and what is wrong with a field that Brevo cannot have."""
    if field.type not in _MADE:
        return "INVALID_TYPE", f"Brevo has no attributes of the type {field.type}"
    if field.unique:
        return "INVALID_UNIQUE", "Brevo has no unique attributes but its own"
    if field.type in {FieldType.PICKLIST, FieldType.MULTI_PICKLIST} and not field.choices:
        return "INVALID_CHOICES", "choices are missing"
    if field.type is FieldType.PICKLIST:
        other = [one.value for one in field.choices if count(one.value) is None]
        if other:
            told = f"the value {other[0][:100]!r} of a choice must be a whole number"
            return "INVALID_CHOICES", told
    return None


def _body(field: NewField) -> Mapping[str, object]:
    if field.type is FieldType.PICKLIST:
        numbered = [
            {"value": count(one.value), "label": one.label or one.value} for one in field.choices
        ]
        return {"type": _CATEGORY, "enumeration": numbered}
    if field.type is FieldType.MULTI_PICKLIST:
        options = [one.value for one in field.choices]
        return {"type": "multiple-choice", "multiCategoryOptions": options}
    return {"type": _MADE[field.type]}


def _compared(field: NewField, held: str) -> FieldResult:
    if held == _MADE[field.type]:
        return FieldResult(field.name, FieldStatus.EXISTS)
    told = f"it is there as {held or 'something else'}, not as {_MADE[field.type]}"
    return FieldResult(field.name, FieldStatus.MISMATCH, "TYPE_MISMATCH", told)


def _failed(field: NewField, code: str, message: str) -> FieldResult:
    return FieldResult(field.name, FieldStatus.FAILED, code, message)
