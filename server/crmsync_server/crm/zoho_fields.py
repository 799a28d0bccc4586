"""Which fields an organization's contacts have, and how texts are written to them and read back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.outcomes import Rejected
from crmsync_server.crm.replies import Reply, mapping, mappings, text
from crmsync_server.crm.zoho_calls import V8, Call, Zoho
from crmsync_server.crm.zoho_errors import Trouble, trouble

FIELDS = f"{V8}/settings/fields"
_MAX_AGE = timedelta(minutes=10)
_YES, _NO = frozenset({"true", "1"}), frozenset({"false", "0"})
_WHOLE = frozenset({"integer", "bigint"})
_REFERENCES = frozenset({"lookup", "ownerlookup", "userlookup"})
_FRACTIONS = frozenset({"double", "currency", "percent"})
_LIST_MARK = ";"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of contacts, as Zoho describes it.

    name: its API name. kind: Zoho's data type. writable: whether the API may set it.
    """

    name: str
    kind: str
    writable: bool
    about: Mapping[str, object] = field(repr=False)

    @property
    def is_reference(self) -> bool:
        """Whether it names another record, which is written by its id."""
        return self.kind in _REFERENCES

    @property
    def is_custom(self) -> bool:
        """Whether the organization made it."""
        return self.about.get("custom_field") is True

    def written(self, value: str) -> object:
        """Return a text as this field takes it; as it is where it does not fit, for Zoho to say."""
        told = value.strip()
        if self.kind == "boolean" and told.lower() in _YES | _NO:
            return told.lower() in _YES
        if self.kind in _WHOLE | _FRACTIONS:
            return _number(told, whole=self.kind in _WHOLE)
        if self.kind == "multiselectpicklist":
            return [one.strip() for one in told.split(_LIST_MARK) if one.strip()]
        if self.is_reference and told.isascii() and told.isdecimal():
            return {"id": told}
        return value


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of contacts by API name; known is None where the token may not read them."""

    known: Mapping[str, Field] | None = None

    @property
    def custom(self) -> Sequence[str]:
        """The names of those that the organization made, as far as they are known.

        References are none: they are shown by name, and take an id.
        """
        made = (one for one in (self.known or {}).values() if one.is_custom)
        return [one.name for one in made if not one.is_reference]

    def find(self, name: str) -> Field | None:
        """Return a field by its API name, whose capitals need not be right."""
        if self.known is None:
            # As it is in every new Zoho.
            kind = "lookup" if name == "Account_Name" else ""
            return Field(name, kind, writable=True, about={})
        found = self.known.get(name)
        if found is not None:
            return found
        lowered = name.lower()
        return next((one for one in self.known.values() if one.name.lower() == lowered), None)


class FieldBook:
    """The fields of one organization, read again once they are old."""

    def __init__(self, zoho: Zoho) -> None:
        """Take the calls; nothing is called yet."""
        self._zoho = zoho
        self._fields = Fields()
        self._read_time: datetime | None = None

    def forget(self) -> None:
        """Read them again the next time."""
        self._read_time = None

    async def read(self) -> Fields | Trouble:
        """Return the fields, or why they are not known. Raises CredentialsRefusedError."""
        now = self._zoho.now()
        if self._read_time is not None and now - self._read_time < _MAX_AGE:
            return self._fields
        found = await self.ask()
        if isinstance(found, Rejected):  # contacts may be open to it all the same
            found = Fields()
        if isinstance(found, Fields):
            self._fields, self._read_time = found, now
        return found

    async def ask(self) -> Fields | Trouble:
        """Return the fields as they are now; Rejected where the token may not read them."""
        reply = await self._zoho.call(Call("GET", FIELDS, params={"module": "Contacts"}))
        if isinstance(reply, Reply) and reply.status == HTTPStatus.OK and "fields" in reply.fields:
            return _fields(reply)
        return trouble(reply, self._zoho.now())


def _fields(reply: Reply) -> Fields:
    found = (_field(about) for about in mappings(reply.fields.get("fields")))
    return Fields({one.name: one for one in found if one.name})


def _field(about: Mapping[str, object]) -> Field:
    closed = about.get("read_only") is True or about.get("field_read_only") is True
    updates = mapping(about.get("operation_type")).get("api_update")
    writable = not closed and updates is not False
    return Field(text(about.get("api_name")), text(about.get("data_type")), writable, about)


def _number(told: str, *, whole: bool) -> object:
    try:
        number = int(told) if whole else float(told)
    except ValueError:
        return told
    # JSON has no other numbers.
    return number if whole or math.isfinite(number) else told


def shown(value: object) -> str:
    """Return a value that Zoho shows as text: the name of a reference, a list with semicolons."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return text(value.get("name")) or text(value.get("id"))
        case list():
            return _LIST_MARK.join(shown(one) for one in value)
    return text(value)


def is_held(sent: object, held: object) -> bool:
    """Tell whether Zoho holds a value that was sent; None is what clears."""
    match sent:
        case dict():
            return text(mapping(held).get("id")) == text(sent.get("id"))
        case list():
            return isinstance(held, list) and set(map(shown, sent)) == set(map(shown, held))
        case bool():
            return held is sent
        case int() | float() if isinstance(held, int | float):
            return float(sent) == float(held)
    return shown(sent).strip() == shown(held).strip()
