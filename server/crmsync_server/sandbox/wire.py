"""Reading request bodies and comparing email addresses, as both simulated CRMs do it."""

import json
import re
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

_EMAIL = re.compile(r"[^@\s,;:<>()\"]+@(?:[^@\s,;:<>()\".]+\.)+[^@\s,;:<>()\".]{2,}")


class MalformedBodyError(ValueError):
    """The body is not the JSON that was expected; the message says what was wrong."""


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object in a request's body.

    Raises:
        MalformedBodyError: the body is not JSON, or not an object.
    """
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise MalformedBodyError(str(error)) from error
    if not isinstance(parsed, dict):
        message = f"expected an object, got {type(parsed).__name__}"
        raise MalformedBodyError(message)
    return parsed


def normalize_email(value: str) -> str:
    """Return the form under which an address is compared: trimmed, lower case."""
    return value.strip().lower()


def is_email(value: str) -> bool:
    """Say whether a CRM would take this as an email address."""
    return _EMAIL.fullmatch(value.strip()) is not None
