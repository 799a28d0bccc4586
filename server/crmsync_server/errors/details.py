"""What a status tells beside code and message, cut to what its trailers have room for."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types

# A status travels in trailers, its message there twice, and clients refuse trailers of more than
# 8 KiB. Some of its text is the caller's: the path of a violation holds the keys of maps.
_LONGEST_TEXT = 300  # characters
_VIOLATIONS_BUDGET = 3_500  # bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a field broke.

    Attributes:
        field: the path of the field, such as `contact.email` or `contact_ids[3]`.
        rule: the rule's name, such as `string.email`.
        description: what would be right, in words.
    """

    field: str
    rule: str
    description: str


def field_violations(
    violations: Iterable[Violation],
) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Return the first violations, as many as a status has room for."""
    fitting = []
    room = _VIOLATIONS_BUDGET
    for one in violations:
        told = _field_violation(one)
        room -= told.ByteSize()
        if room < 0:
            break
        fitting.append(told)
    return fitting


def resource(kind: str, name: str, description: str) -> Message:
    """Return the ResourceInfo of a resource: its type, its id, and what is the matter with it."""
    info: Message = error_details_pb2.ResourceInfo(
        resource_type=kind, resource_name=clipped(name), description=description
    )
    return info


def clipped(text: str) -> str:
    """Return a text, or as much of its beginning as a status has room for."""
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _field_violation(one: Violation) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(
        field=clipped(one.field),
        description=clipped(one.description),
        reason=one.rule.replace(".", "_").upper(),  # the form that google.rpc asks for
    )
