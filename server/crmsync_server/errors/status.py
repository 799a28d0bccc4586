"""The google.rpc.Status that tells of an error."""

from google.protobuf.any_pb2 import Any
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    error_details_pb2,
    status_pb2,
)

from crmsync.v1.error_reason_pb2 import ErrorReason
from crmsync_server.errors.base import CrmsyncError

DOMAIN = "crmsync"

_PREFIX = "ERROR_REASON_"


def to_status(error: CrmsyncError) -> status_pb2.Status:
    """Return the status that tells of an error: an ErrorInfo first, then what else fits."""
    info = error_details_pb2.ErrorInfo(
        reason=ErrorReason.Name(error.reason).removeprefix(_PREFIX),
        domain=DOMAIN,
        metadata=error.metadata,
    )
    status = status_pb2.Status(code=error.code, message=error.message)
    for detail in (info, *error.details()):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
