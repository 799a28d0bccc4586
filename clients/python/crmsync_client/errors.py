"""What a failed call says, read from its google.rpc.Status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    error_details_pb2,
    status_pb2,
)

Detail = TypeVar("Detail", bound=Message)

_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request that broke a rule.

    field: the path of the field, such as `contact.email`.
    description: what would be right, in words.
    """

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed, in the words of the contract.

    code: the call's status code.
    message: the server's sentence for people; programs go by `reason`.
    reason: a name of `crmsync.v1.ErrorReason` without its prefix, such as `EMAIL_TAKEN`; empty
        when the call never reached crmsync, or something in between answered it.
    metadata: what the reason is about; error_reason.proto lists the keys of each.
    violations: every field that broke a rule; empty unless the reason is `INVALID_REQUEST`.
    """

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    violations: Sequence[Violation] = ()

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Self:
        """Read the error of a call; one without details has a code and a message only."""
        status = _status(error)
        info = _detail(status, error_details_pb2.ErrorInfo)
        request = _detail(status, error_details_pb2.BadRequest)
        return cls(
            error.code(),
            error.details() or "",
            info.reason,
            MappingProxyType(dict(info.metadata)),
            tuple(Violation(one.field, one.description) for one in request.field_violations),
        )


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the status that travels in the trailers, or an empty one."""
    # The stubs tell of the metadata that calls outside asyncio have.
    trailing = cast("grpc.aio.Metadata", error.trailing_metadata())
    return status_pb2.Status.FromString(trailing.get(_DETAILS, b""))


def _detail(status: status_pb2.Status, kind: type[Detail]) -> Detail:
    """Return the detail of this kind, or an empty one."""
    found = kind()
    for detail in status.details:
        if detail.Unpack(found):
            break
    return found


def is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the same call, made again, may well succeed.

    A broken connection is UNAVAILABLE, or INTERNAL without a reason when it broke in the middle
    of a message; crmsync's own INTERNAL has one.
    """
    internal = error.code() is grpc.StatusCode.INTERNAL and not Failure.of(error).reason
    return internal or error.code() is grpc.StatusCode.UNAVAILABLE
