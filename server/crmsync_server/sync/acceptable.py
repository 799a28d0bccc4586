"""Whether a contact may say what a record says: the contract's own rules for contacts."""

from typing import Any

import protovalidate

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.store.content import Content

_PLAINER = {
    "repeated.unique": "must not hold an item twice",
    "map.max_pairs": "must hold at most 100 entries",
    "repeated.max_items": "must hold at most 50 items",
}


def fault_of(content: Content) -> str | None:
    """Return which field breaks a rule, and which one; None when none does."""
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
