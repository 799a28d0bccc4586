"""How a contact's fields are printed, and how they compare with what a query gives."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeAlias

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_fields import Field
from crmsync_server.sandbox.zoho_organization import Organization, full_name
from crmsync_server.sandbox.zoho_table import Contact

Value: TypeAlias = str | int | float | bool | datetime
_LOOKUPS = ("lookup", "ownerlookup")
_NUMBERS = ("bigint", "currency", "double", "integer")


def printed(organization: Organization, contact: Contact, names: Iterable[str]) -> JsonObject:
    """Return a contact as Zoho prints it, with its id and those of these fields that exist."""
    fields = organization.fields
    shown = {
        name: _printed(organization, contact, fields[name]) for name in names if name in fields
    }
    return shown | {"id": str(contact.id)}


def _printed(organization: Organization, contact: Contact, field: Field) -> object:
    computed = _COMPUTED.get(field.api_name)
    if computed is not None:
        return computed(organization, contact)
    value = contact.values.get(field.api_name, False if field.data_type == "boolean" else None)
    if field.data_type == "lookup" and isinstance(value, dict):
        account = organization.accounts.get(value.get("id"))
        return value if account is None else account.as_reference()
    return value


_COMPUTED: dict[str, Callable[[Organization, Contact], object]] = {
    "id": lambda _, contact: str(contact.id),
    "Created_Time": lambda organization, contact: organization.stamp(contact.created),
    "Modified_Time": lambda organization, contact: organization.stamp(contact.modified),
    "Created_By": lambda _, contact: contact.created_by.as_json(),
    "Modified_By": lambda _, contact: contact.modified_by.as_json(),
    "Owner": lambda _, contact: contact.values.get("Owner", contact.created_by.as_json()),
    "Full_Name": lambda _, contact: full_name(contact.values),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One field as queries see it: `of` reads a contact's value, `read` what a query gives."""

    name: str
    of: Callable[[Contact], Value | None]
    read: Callable[[str], Value]
    """Raises ValueError: a column of this kind cannot have such a value."""


def column(field: Field) -> Column:
    """Return a field as queries see it."""
    special = _SPECIAL.get(field.api_name)
    if special is not None:
        return Column(field.api_name, special, _reader(field))
    return Column(field.api_name, _getter(field), _reader(field))


_SPECIAL: dict[str, Callable[[Contact], Value | None]] = {
    "id": lambda contact: contact.id,
    "Created_Time": lambda contact: contact.created,
    "Modified_Time": lambda contact: contact.modified,
    "Created_By": lambda contact: contact.created_by.id,
    "Modified_By": lambda contact: contact.modified_by.id,
    "Full_Name": lambda contact: full_name(contact.values).lower(),
}


def _getter(field: Field) -> Callable[[Contact], Value | None]:
    name, read = field.api_name, _reader(field)

    def get(contact: Contact) -> Value | None:
        value = contact.values.get(name)
        if value is None:
            return False if field.data_type == "boolean" else None
        if isinstance(value, dict):
            return str(value.get("id"))
        if isinstance(value, list):
            return ";".join(map(str, value)).lower()
        return read(str(value))

    return get


def _reader(field: Field) -> Callable[[str], Value]:
    if field.data_type in _NUMBERS:
        return int if field.data_type == "bigint" else float
    if field.data_type == "datetime":
        return read_instant
    if field.data_type == "date":
        return _read_date
    if field.data_type == "boolean":
        return _read_boolean
    return str if field.data_type in _LOOKUPS else str.lower


def read_instant(text: str) -> datetime:
    """Return an instant in UTC.

    Raises:
        ValueError: it is none, or has no offset.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        message = f"{text} has no offset"
        raise ValueError(message)
    return instant.astimezone(UTC)


def _read_boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        message = f"{text} is neither true nor false"
        raise ValueError(message)
    return text.lower() == "true"


def _read_date(text: str) -> str:
    return date.fromisoformat(text).isoformat()
