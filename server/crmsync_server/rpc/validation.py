"""Requests are held to the rules that the protos declare, and to those that none can."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from buf.validate import validate_pb2
from crmsync_server.errors import InvalidRequestError, TooManyItemsError, Violation
from crmsync_server.rpc.contact_rules import request_violations, tidy

# A violation takes 13 microseconds to collect, on the event loop. A request with more items than
# this, which no rule allows, is told its first violation only.
_MOST_ITEMS = 20_000

_PLAINER = {
    "repeated.unique": "must not hold an item twice",
    "required": "must be set",
    "string.email_empty": "must be a valid email address",
    "string.uuid_empty": "must be a valid UUID",
}


def violations(message: Message, prefix: str = "", raw: bytes | None = None) -> list[Violation]:
    """Return every declared rule that a message breaks; none when it is valid.

    Args:
        message: any message of the contract.
        prefix: the path of the message itself, such as `contacts[3]`.
        raw: the message as bytes, where the caller has them.
    """
    found: list[Violation] = []
    if protovalidate.collect_violations(message, fail_fast=True):
        hopeless = _items(message) > _MOST_ITEMS
        broken = protovalidate.collect_violations(message, fail_fast=hopeless)
        found = [_told(one, message, prefix) for one in broken]
    # Few valid messages hold a zero byte, so few are searched for the texts that do.
    if b"\0" in (message.SerializeToString() if raw is None else raw):
        found += islice(_nul_violations(message, prefix), _MOST_ITEMS)
    return found


def read(raw: bytes, parse: Callable[[bytes], Message]) -> Message:
    """Return the valid request that these bytes hold.

    Raises:
        InvalidRequestError: they break a rule, or hold no such message.
        TooManyItemsError: one of its repeated fields is longer than it may be.
    """
    try:
        message = parse(raw)
    except DecodeError as error:
        rule = Violation("", "message", "must be a message of the method's request type")
        raise InvalidRequestError([rule]) from error
    _refuse_too_many_items(message)
    tidy(message)
    if broken := [*violations(message), *islice(request_violations(message), _MOST_ITEMS)]:
        raise InvalidRequestError(broken)
    return message


def _refuse_too_many_items(message: Message) -> None:
    # Before anything looks at the items, of which there may be millions.
    for field, value in message.ListFields():
        limit = 0 if _is_ignored(field) else _rules(field).repeated.max_items
        if limit and len(value) > limit:
            raise TooManyItemsError(field.name, limit, len(value))


def _items(message: Message) -> int:
    """Count the items of all repeated fields, at any depth."""
    count = 0
    for field, value in message.ListFields():
        count += len(value) if field.is_repeated else 0
        if field.message_type and not _is_map(field):
            nested = value if field.is_repeated else [value]
            count += sum(map(_items, nested))
    return count


def _nul_violations(message: Message, prefix: str) -> Iterator[Violation]:
    # Postgres keeps no NUL in a text.
    for field, value in message.ListFields():
        if _is_ignored(field):
            continue
        path = _joined(prefix, field.name)
        for key, one in _entries(field, value):
            if isinstance(one, Message):
                yield from _nul_violations(one, path + _subscript(key))
            elif isinstance(one, str) and "\0" in one:
                where = path + _subscript(key)
                yield Violation(where, "string.nul", "must not hold a NUL character")


def _entries(field: FieldDescriptor, value: Any) -> Iterable[tuple[object, object]]:  # noqa: ANN401 - whatever the field holds
    """Yield what a field holds, by index or key; the keys of a map count as entries too."""
    if not field.is_repeated:
        return [(None, value)]
    if _is_map(field):
        return chain(((key, key) for key in value), value.items())
    return enumerate(value)


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _is_ignored(field: FieldDescriptor) -> bool:
    """Tell whether a field is left to its handler to check."""
    return _rules(field).ignore == validate_pb2.IGNORE_ALWAYS


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _told(broken: protovalidate.Violation, message: Message, prefix: str) -> Violation:
    told = broken.proto
    elements = told.field.elements if told.field else ()
    description = _description(broken, message, elements)
    return Violation(
        field=_path(elements, prefix),
        rule=told.rule_id,
        description=f"the key {description}" if told.for_key else description,
    )


def _description(broken: protovalidate.Violation, message: Message, elements: Any) -> str:  # noqa: ANN401 - protovalidate's own message type
    """Say what would be right."""
    told = broken.proto
    match told.rule_id:
        case "enum.defined_only" | "enum.not_in":
            return f"must be one of {', '.join(_members(message, elements))}"
        case "map.max_pairs":
            return f"must hold at most {broken.rule_value} entries"
        case "string.pattern":
            return f"must match {broken.rule_value}"
        case "repeated.max_items":
            return f"must hold at most {broken.rule_value} items"
        case "string.min_len" | "repeated.min_items" if broken.rule_value == 1:
            return "must not be empty"
    return _PLAINER.get(told.rule_id, told.message)


def _members(message: Message, elements: Any) -> list[str]:  # noqa: ANN401 - protovalidate's own message type
    """Return the names in the enum of the field at a path, but for that of the unset value."""
    descriptor: Any = message.DESCRIPTOR  # its stubs allow for fields of other kinds at each step
    *outer, last = [element.field_name for element in elements]
    for name in outer:
        descriptor = _one_of(descriptor.fields_by_name[name]).message_type
    members = _one_of(descriptor.fields_by_name[last]).enum_type.values
    return [member.name for member in members if member.number]


def _one_of(field: Any) -> Any:  # noqa: ANN401 - a descriptor, as above
    """Return the field that holds one value: of a map, that of its entries."""
    return field.message_type.fields_by_name["value"] if _is_map(field) else field


def _path(elements: Any, prefix: str) -> str:  # noqa: ANN401 - protovalidate's own message type
    path = prefix
    for element in elements:
        path = _joined(path, element.field_name)
        if element.subscript is not None:
            path += _subscript(element.subscript.value)
    return path


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _subscript(key: object) -> str:
    return "" if key is None else f"[{json.dumps(key, ensure_ascii=False)}]"
