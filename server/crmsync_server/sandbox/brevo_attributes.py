"""Contact attributes of a simulated Brevo account: which exist, and what values they take."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from crmsync_server.sandbox.wire import JsonObject

PHONES = ("SMS", "WHATSAPP", "LANDLINE_NUMBER")
"""Attributes that identify a contact by a telephone number."""
_TEXT = ("LASTNAME", "FIRSTNAME", "COMPANY", "JOB_TITLE", "CITY", "COUNTRY", "LINKEDIN")
_PHONE = re.compile(r"(?:\+|00)?([1-9]\d{6,14})")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or value in ("true", "false", "yes", "no", "1", "0")


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        date.fromisoformat(value[:10])
    except ValueError:
        return False
    return True


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _is_choice(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "text": _is_text,
    "float": _is_number,
    "boolean": _is_boolean,
    "date": _is_date,
    "multiple-choice": _is_choice,
}
TYPES = ("text", "date", "float", "boolean", "id", "multiple-choice", "user")


def default_attributes() -> dict[str, JsonObject]:
    """Return the attributes that a new account has, as Brevo prints them, by name."""
    names = [*_TEXT, *PHONES]
    return {name: {"name": name, "category": "normal", "type": "text"} for name in names}


def kept_attributes(
    definitions: Mapping[str, JsonObject], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes that exist and have the right type; Brevo drops the others silently."""
    return {
        name: value
        for name, value in ((key.upper(), value) for key, value in given.items())
        if name in definitions and (value == "" or _fits(definitions[name], value))
    }


def parse_phone(value: object) -> str | None:
    """Return a telephone number's digits, country code first; None if it is malformed."""
    found = _PHONE.fullmatch(re.sub(r"[ ().-]", "", str(value)))
    return found[1] if found else None


def _fits(definition: JsonObject, value: object) -> bool:
    # A telephone number may come as a number; whether it is one is checked by its reader.
    if definition["name"] in PHONES:
        return _is_scalar(value)
    return _CHECKS.get(definition.get("type", ""), _is_scalar)(value)
