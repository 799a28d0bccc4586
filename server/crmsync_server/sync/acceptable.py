"""Whether a contact may say what a record says: the contract's own rules for contacts."""

import re
from collections.abc import Iterable
from typing import Any

import protovalidate

from buf.validate import validate_pb2
from crmsync.v1.contact_pb2 import Contact
from crmsync_server.store.content import Content

_PLAIN_TEXTS = ("email", "first_name", "last_name", "phone", "company")
# How long they may be, by the contract. Another rule of theirs would have to be kept here as well.
_MOST = {
    name: Contact.DESCRIPTOR.fields_by_name[name]
    .GetOptions()
    .Extensions[validate_pb2.field]
    .string.max_len
    for name in _PLAIN_TEXTS
}
# Far from all addresses that there may be, and none that may not.
PLAIN_ADDRESS = re.compile(
    r"[A-Za-z0-9_+-]{1,32}(?:\.[A-Za-z0-9_+-]{1,15}){0,2}"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?){1,4}"
)
_PLAINER = {
    "repeated.unique": "must not hold an item twice",
    "map.max_pairs": "must hold at most 100 entries",
    "repeated.max_items": "must hold at most 50 items",
}


def fault_of(content: Content) -> str | None:
    """Return which field breaks a rule, and which one; None when none does."""
    if _is_plain(content):
        return None
    if field := _unwritable(content):
        return field
    contact = Contact(
        email=content.email or "",
        first_name=content.first_name,
        last_name=content.last_name,
        phone=content.phone,
        company=content.company,
        tags=content.tags,
        properties=content.properties,
    )
    for broken in protovalidate.collect_violations(contact, fail_fast=True):
        told = broken.proto
        reason = _PLAINER.get(told.rule_id, told.message)
        key = "the key " if told.for_key else ""
        return f"{_path(told.field)}: {key}{reason}"
    return None


def _is_plain(content: Content) -> bool:
    """Tell whether a contact is of the simplest kind, which breaks no rule: most are.

    Validating a message costs twenty times as much as this does.
    """
    if content.tags or content.properties:
        return False
    email, first, last = content.email or "", content.first_name, content.last_name
    phone, company = content.phone, content.company
    return (
        (not email or (len(email) <= _MOST["email"] and PLAIN_ADDRESS.fullmatch(email) is not None))
        and len(first) <= _MOST["first_name"]
        and len(last) <= _MOST["last_name"]
        and len(phone) <= _MOST["phone"]
        and len(company) <= _MOST["company"]
        and (told := first + last + phone + company).isascii()
        and "\0" not in told
    )


def _unwritable(content: Content) -> str | None:
    """Return which field holds what no database can keep."""
    texts = [
        ("email", content.email or ""),
        ("first_name", content.first_name),
        ("last_name", content.last_name),
        ("phone", content.phone),
        ("company", content.company),
    ]
    texts += [("tags", tag) for tag in content.tags]
    texts += [(f"properties[{name!r}]", name + text) for name, text in content.properties.items()]
    return unkeepable(texts)


def unkeepable(texts: Iterable[tuple[str, str]]) -> str | None:
    """Return which of these texts, each with its name, no database can keep, and why."""
    for field, text in texts:
        if text.isascii() and "\0" not in text:
            continue
        if "\0" in text:
            return f"{field}: must not hold a NUL character"
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            return f"{field}: must be text, without halves of surrogate pairs"
    return None


def _path(field: Any) -> str:  # noqa: ANN401 - protovalidate's own message type
    path = ""
    for element in field.elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value!r}]"
    return path
