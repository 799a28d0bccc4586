"""What all errors have in common."""

from collections.abc import Sequence
from inspect import cleandoc
from typing import ClassVar

from google.protobuf.message import Message
from google.rpc import code_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import error_reason_pb2
from crmsync.v1.error_reason_pb2 import ErrorReason
from crmsync_server.errors.details import clipped


class CrmsyncError(Exception):
    """The call failed.

    Attributes:
        code: the number of the gRPC status code, as in google.rpc.Code.
        reason: why, for programs.
        metadata: what the reason is about; error_reason.proto lists the keys.
        message: why, for people.
    """

    code: int = code_pb2.UNKNOWN
    reason: ClassVar[ErrorReason.ValueType] = error_reason_pb2.ERROR_REASON_UNSPECIFIED

    def __init__(self, message: str = "", /, **metadata: object) -> None:
        """Say what happened; without a message, the class's docstring says it."""
        self.metadata = {key: clipped(str(value)) for key, value in metadata.items()}
        template = cleandoc(type(self).__doc__ or "").partition("\n")[0]
        self.message = clipped(message) or template.format_map(self.metadata)
        super().__init__(self.message)

    def details(self) -> Sequence[Message]:
        """Return the details that the status carries beside its ErrorInfo."""
        return ()
