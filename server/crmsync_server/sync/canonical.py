"""When two values say the same: forms in which values are compared, never kept."""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

import phonenumbers

Value: TypeAlias = str | Sequence[str]
"""What a field holds: a text, or tags."""

Canonical: TypeAlias = str | frozenset[str]

_NO_DIGIT = re.compile(r"\D+")
_ABROAD = "00"


class Kind(Enum):
    """What a field is, as far as comparing goes."""

    EMAIL = "email"
    PHONE = "phone"
    TEXT = "text"
    TAGS = "tags"


KINDS = {"email": Kind.EMAIL, "phone": Kind.PHONE, "tags": Kind.TAGS}
"""The kinds of the contact's fields that are more than texts."""


def canonical(value: Value, kind: Kind, region: str = "") -> Canonical:
    """Return the form in which a value is compared; nothing, in whatever form, is empty.

    Args:
        value: a text; tags may come as a text, parted by semicolons.
        kind: what it is.
        region: of phone numbers without a country code, two letters.
    """
    if kind is Kind.TAGS:
        parts = value.split(";") if isinstance(value, str) else value
        return frozenset(part for part in map(_folded, parts) if part)
    text = value if isinstance(value, str) else ";".join(value)
    if not text:
        return ""
    if kind is Kind.EMAIL:
        return text.strip().lower()
    return _phone(text, region) if kind is Kind.PHONE else _folded(text)


def same(one: Value, other: Value, kind: Kind, region: str = "") -> bool:
    """Tell whether two values say the same."""
    return one == other or canonical(one, kind, region) == canonical(other, kind, region)


def empty(value: Value) -> bool:
    """Tell whether a value says nothing."""
    if isinstance(value, str):
        return not value or value.isspace()
    return not any(part and not part.isspace() for part in value)


def _folded(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=65_536)
def _phone(text: str, region: str) -> str:
    """Return the digits of a number in its international form, as far as that can be made out."""
    digits = _NO_DIGIT.sub("", text)
    if not digits:
        return _folded(text)
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return digits.removeprefix(_ABROAD)
    if not phonenumbers.is_possible_number(number):
        return digits.removeprefix(_ABROAD)
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
