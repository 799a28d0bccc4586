"""What a CRM answered, read without trusting its shape.

Vendors leave fields out and change their types; these readers answer an empty value instead
of raising, so that an adapter decides what a missing field means.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from crmsync_server.crm.hiding import forms, keepable, without

MESSAGE_LIMIT = 500
_LONGEST_WAIT = timedelta(hours=24)
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply with the account's secrets already taken out.

    body: the parsed JSON, None when the body is empty or no JSON.
    text: the first 500 characters of the body on one line.
    """

    status: int
    headers: httpx.Headers
    body: object
    text: str

    @property
    def fields(self) -> Mapping[str, object]:
        """The body as an object; empty when it is anything else."""
        return mapping(self.body)


def read(response: httpx.Response, secrets: Collection[str]) -> Reply:
    """Read a response whose body is loaded, hiding every secret that it repeats.

    JSON is UTF-8 by definition; whatever else a header calls it, a page is only quoted.
    """
    raw = keepable(response.content.decode("utf-8-sig", "replace"))
    told = forms(secrets)
    words = brief(without(raw, told))
    return Reply(response.status_code, response.headers, _json(raw, told), words)


def _json(raw: str, told: Sequence[str]) -> object:
    try:
        body = json.loads(raw)
        # Without a backslash no text of the body is spelt otherwise than in the raw one.
        as_it_is = "\\" not in raw and not any(form in raw for form in told)
        return body if as_it_is else _cleaned(body, told)
    except (ValueError, RecursionError):
        return None


def _cleaned(value: object, told: Sequence[str]) -> object:
    """Return JSON whose texts can be shown and kept; names stay, since adapters go by them."""
    match value:
        case str():
            return keepable(without(value, told))
        case list():
            return [_cleaned(item, told) for item in value]
        case dict():
            return {name: _cleaned(item, told) for name, item in value.items()}
    return value


def mapping(value: object) -> Mapping[str, object]:
    """Return a JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Mapping[str, object]]:
    """Return the objects of a JSON array, or nothing."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a JSON string or number as text; empty for anything else."""
    if type(value) is str:
        # By far the most, of pages of records.
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)


def texts(value: object) -> list[str]:
    """Return a value or an array of values as texts, without the empty ones."""
    values = value if isinstance(value, list) else [value]
    return [found for found in map(text, values) if found]


def brief(words: str) -> str:
    """Return a vendor's words on one line, at most 500 characters."""
    return " ".join(words[: 4 * MESSAGE_LIMIT].split())[:MESSAGE_LIMIT]


def seconds(value: str | None) -> timedelta | None:
    """Read a header that counts seconds; None when it does not, at most a day."""
    try:
        return max(timedelta(0), min(timedelta(seconds=float(value or "")), _LONGEST_WAIT))
    except (ValueError, OverflowError):
        return None


def count(value: str | None) -> int | None:
    """Read a text that holds a whole number from 0 on; None when it does not, or is too long."""
    words = (value or "").strip()
    return int(words) if words.isascii() and words.isdecimal() and len(words) < _DIGITS else None


def http_date(value: str | None) -> datetime | None:
    """Read a header that holds an HTTP date; None when it does not."""
    try:
        found = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def iso_time(value: object) -> datetime | None:
    """Return an ISO 8601 text as a moment in UTC, which it is in where it names no zone."""
    try:
        found = datetime.fromisoformat(text(value).strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def retry_after(headers: httpx.Headers, now: datetime) -> datetime | None:
    """Read Retry-After, in seconds or as a date; None when absent, at most a day from now."""
    value = headers.get("retry-after")
    wait = seconds(value)
    if wait is not None:
        return now + wait
    date = http_date(value)
    return None if date is None else max(now, min(date, now + _LONGEST_WAIT))
