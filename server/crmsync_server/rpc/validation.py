"""Requests are held to the rules that the protos declare."""

import json
from collections.abc import Callable
from typing import Any

import protovalidate
from google.protobuf.message import DecodeError, Message

from buf.validate import validate_pb2
from crmsync_server.errors import InvalidRequestError, TooManyItemsError, Violation

# A violation takes 13 microseconds to collect, on the event loop. A request with more items than
# this, which no rule allows, is told its first violation only.
_MOST_ITEMS = 20_000

_PLAINER = {
    "repeated.unique": "must not hold an item twice",
    "required": "must be set",
    "string.email_empty": "must be a valid email address",
    "string.uuid_empty": "must be a valid UUID",
}


def violations(message: Message, prefix: str = "") -> list[Violation]:
    """Return every rule that a message breaks; none when it is valid.

    Args:
        message: any message of the contract.
        prefix: the path of the message itself, such as `contacts[3]`.
    """
    if not protovalidate.collect_violations(message, fail_fast=True):
        return []
    hopeless = _items(message) > _MOST_ITEMS
    broken = protovalidate.collect_violations(message, fail_fast=hopeless)
    return [_told(one, prefix) for one in broken]


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
    if broken := violations(message):
        raise InvalidRequestError(broken)
    return message


def _refuse_too_many_items(message: Message) -> None:
    # Before anything looks at the items, of which there may be millions.
    for field, value in message.ListFields():
        rules = field.GetOptions().Extensions[validate_pb2.field]
        ignored = rules.ignore == validate_pb2.IGNORE_ALWAYS
        limit = 0 if ignored else rules.repeated.max_items
        if limit and len(value) > limit:
            raise TooManyItemsError(field.name, limit, len(value))


def _items(message: Message) -> int:
    """Count the items of all repeated fields, at any depth."""
    count = 0
    for field, value in message.ListFields():
        if field.is_repeated:
            count += len(value)
        nested = value if field.is_repeated else [value]
        count += sum(_items(one) for one in nested if isinstance(one, Message))
    return count


def _told(broken: protovalidate.Violation, prefix: str) -> Violation:
    told = broken.proto
    description = _PLAINER.get(told.rule_id, told.message)
    return Violation(
        field=_path(told.field.elements if told.field else (), prefix),
        rule=told.rule_id,
        description=f"the key {description}" if told.for_key else description,
    )


def _path(elements: Any, prefix: str) -> str:  # noqa: ANN401 - protovalidate's own message type
    path = prefix
    for element in elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{json.dumps(element.subscript.value, ensure_ascii=False)}]"
    return path
