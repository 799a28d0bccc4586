"""Why a bulk operation is refused as a whole."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import InvalidArgumentError
from crmsync_server.errors.crm import retry_info
from crmsync_server.errors.details import Violation, field_violations


class BatchRejectedError(InvalidArgumentError):
    """{rejected} of {received} records cannot be taken, and so none was."""

    reason = error_reason_pb2.ERROR_REASON_BATCH_REJECTED

    def __init__(self, violations: Sequence[Violation], *, received: int, rejected: int) -> None:
        """List what was found; the first of it travels, as much as a status has room for."""
        self._told = field_violations(violations)
        super().__init__(received=received, rejected=rejected)

    def details(self) -> Sequence[Message]:
        """Return the BadRequest."""
        return (error_details_pb2.BadRequest(field_violations=self._told),)


class ContactsBusyError(CrmsyncError):
    """Others changed the same contacts or emails in all of {tries} tries; nothing was changed."""

    code = code_pb2.ABORTED
    reason = error_reason_pb2.ERROR_REASON_CONTACTS_BUSY

    def __init__(self, tries: int, wait: timedelta) -> None:
        """Say how often it was tried, and when to try again."""
        self._wait = wait
        super().__init__(tries=tries)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (retry_info(self._wait),)
