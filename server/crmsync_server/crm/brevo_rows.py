"""What is sent to Brevo for each contact: a row of attributes that the account really has.

Brevo drops unknown attributes and wrong-typed values without a word. A row therefore only
carries what the account has a place for, and notes what it leaves out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.replies import text

# An identifier of the contact, not an attribute that an account may lack.
PHONE = "SMS"
_IDENTIFIERS = frozenset({"EMAIL", "EXT_ID", PHONE})
# What a delivery's fields are called at Brevo, and those that have no attribute there.
FIELDS = {
    "first_name": "FIRSTNAME",
    "last_name": "LASTNAME",
    "phone": PHONE,
    "company": "COMPANY",
}
_NOT_HERE = frozenset({"email", "tags"})
WRITABLE = frozenset({"", "normal", "category", "transactional"})
_INTERNATIONAL = re.compile(r"\+[1-9]\d{6,14}")
_PHONE_PUNCTUATION = re.compile(r"[\s().\-/]")
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})


Value = str | float | bool | list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One contact as Brevo is to hold it.

    position: where the delivery stands in the batch.
    email: trimmed and in lower case.
    attributes: an empty text clears the attribute.
    former_email: the address of the earlier delivery, when it has changed since.
    note: what was left out, for people to read.
    """

    position: int
    email: str
    ext_id: str
    attributes: Mapping[str, Value]
    former_email: str = ""
    note: str = ""

    @property
    def clears(self) -> bool:
        """Whether it clears an attribute."""
        return "" in self.attributes.values()


def attribute_types(definitions: Iterable[Mapping[str, object]]) -> Mapping[str, str]:
    """Read the attributes of an account: the type of each one that can be written."""
    return {
        text(one.get("name")).upper(): text(one.get("type"))
        for one in definitions
        if text(one.get("category")) in WRITABLE
    }


def row(position: int, delivery: Delivery, types: Mapping[str, str]) -> Row:
    """Return the row of a delivery; empty values are left out, unless they are to clear Brevo's.

    types: the account's attributes, from attribute_types.
    """
    wanted = _wanted(delivery)
    kept: dict[str, Value] = {}
    left_out: list[str] = []
    for name, value in wanted.items():
        fit = _fitting(name, value, types)
        if fit is None:
            left_out.append(name)
        else:
            kept[name] = fit
    email, former = deliverable(delivery.email), deliverable(delivery.crm_contact_id or "")
    return Row(
        position,
        email,
        str(delivery.contact_id),
        kept,
        former_email=former if former != email else "",
        note=f"not sent, Brevo has no place for it: {', '.join(left_out)}" if left_out else "",
    )


def _wanted(delivery: Delivery) -> dict[str, str]:
    # Consent is Brevo's to keep (emailBlacklisted, smsBlacklisted): no row ever carries it.
    custom = {name.upper(): value for name, value in delivery.properties.items()}
    usable = {name: value for name, value in custom.items() if name not in _IDENTIFIERS}
    owned = {name: str(getattr(delivery, field)) for field, name in FIELDS.items()}
    wanted = {**dict.fromkeys(sorted(_blank(delivery)), ""), **usable, **owned}
    blank = _blank(delivery)
    return {
        name: value if value.strip() else ""
        for name, value in wanted.items()
        if value.strip() or name in blank
    }


def _blank(delivery: Delivery) -> set[str]:
    names = {FIELDS.get(name, name).upper() for name in delivery.blank - _NOT_HERE}
    return names - (_IDENTIFIERS - {PHONE})


def _fitting(name: str, value: str, types: Mapping[str, str]) -> Value | None:
    """Return a value as Brevo takes it; None when there is no such attribute, or no such value."""
    if not value:
        return "" if name == PHONE or name in types else None
    return _phone(value) if name == PHONE else _typed(value, types.get(name))


def _phone(value: str) -> str | None:
    """Return a phone in international form; a malformed one would fail the whole record."""
    # "+33 (0)6": the digit in brackets is dialled at home only.
    bare = _PHONE_PUNCTUATION.sub("", value.replace("(0)", ""))
    return bare if _INTERNATIONAL.fullmatch(bare) else None


def _typed(value: str, kind: str | None) -> Value | None:
    """Return a value as the attribute's type; None when there is no such attribute or value."""
    match kind:
        case None:
            return None
        case "float":
            return _float(value)
        case "boolean":
            lowered = value.strip().lower()
            return lowered in _TRUE if lowered in _TRUE | _FALSE else None
        case "date":
            return _date(value)
        case "multiple-choice":
            return [choice.strip() for choice in value.split(";") if choice.strip()]
        case _:
            return value


def _float(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if isfinite(found) else None  # JSON has no other


def _date(value: str) -> str | None:
    """Return the day of an ISO date or time."""
    try:
        return datetime.fromisoformat(value.strip()).date().isoformat()
    except ValueError:
        return None


def holds(row: Row, contact: Mapping[str, object]) -> bool:
    """Tell whether a contact as Brevo shows it has the row's address and every attribute."""
    held = contact.get("attributes")
    shown = held if isinstance(held, dict) else {}
    return text(contact.get("email")).lower() == row.email and all(
        _comparable(shown.get(name)) == _comparable(value) for name, value in row.attributes.items()
    )


def _comparable(value: object) -> str:
    # Brevo shows phones without the plus, whole floats without the point, and no cleared values.
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.removeprefix("+") if isinstance(value, str) else str(value)
