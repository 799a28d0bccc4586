"""What the server could not do, although nothing was wrong with the call."""

from collections.abc import Sequence
from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.details import clipped


class UnavailableError(CrmsyncError):
    """The same call may well succeed a little later."""

    code = code_pb2.UNAVAILABLE


class DrainingError(UnavailableError):
    """This server is shutting down; connect again, and another one answers."""

    reason = error_reason_pb2.ERROR_REASON_DRAINING

    def __init__(self, *, resume_token: str = "", acknowledged: int | None = None) -> None:
        """Say where the caller goes on: a watch by its token, an import after a record."""
        told: dict[str, object] = {"resume_token": resume_token} if resume_token else {}
        if acknowledged is not None:
            told["acknowledged"] = acknowledged
        super().__init__(**told)


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached at the moment."""

    reason = error_reason_pb2.ERROR_REASON_DATABASE_UNAVAILABLE
    retry_seconds: ClassVar[int] = 2

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (error_details_pb2.RetryInfo(retry_delay=Duration(seconds=self.retry_seconds)),)


class InternalError(CrmsyncError):
    """The server has a fault; its log tells the story under the id {error_id}."""

    code = code_pb2.INTERNAL
    reason = error_reason_pb2.ERROR_REASON_INTERNAL

    def __init__(self, error_id: str) -> None:
        """Give the id that the log has too."""
        super().__init__(error_id=error_id)


class ImportInterruptedError(CrmsyncError):
    """The import ended before its stream did; {acknowledged} records are kept."""

    reason = error_reason_pb2.ERROR_REASON_IMPORT_INTERRUPTED

    def __init__(self, cause: CrmsyncError, acknowledged: int, request_id: str) -> None:
        """Take the code, the message and the details of the cause.

        Args:
            cause: what ended it.
            acknowledged: how many records are durably taken in.
            request_id: what names the import; empty when the caller gave none.
        """
        self.code = cause.code
        self._cause = cause
        super().__init__(acknowledged=acknowledged, request_id=request_id)
        self.message = clipped(f"{self.message} {cause.message}")

    def details(self) -> Sequence[Message]:
        """Return those of the cause."""
        return self._cause.details()
