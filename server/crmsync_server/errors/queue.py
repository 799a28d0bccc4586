"""Why a contact cannot be retried or cancelled, and its events not be watched or selected."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import FailedPreconditionError, InvalidArgumentError
from crmsync_server.errors.details import Violation, field_violations

_NEVER_SELECTED = "NONE"


class NotInErrorError(FailedPreconditionError):
    """The contact {contact_id} has not failed at {crm}; its sync status there is {sync_status}."""

    reason = error_reason_pb2.ERROR_REASON_NOT_IN_ERROR

    def __init__(self, contact_id: str, crm: str, sync_status: str | None) -> None:
        """Name contact, CRM and sync status, such as `COMPLETE`; None when never selected."""
        status = sync_status or _NEVER_SELECTED
        super().__init__(contact_id=contact_id, crm=crm, sync_status=status)


class NotQueuedError(FailedPreconditionError):
    """The contact {contact_id} is not queued for {crm}; its sync status there is {sync_status}."""

    reason = error_reason_pb2.ERROR_REASON_NOT_QUEUED

    def __init__(self, contact_id: str, crm: str, sync_status: str | None) -> None:
        """Name contact, CRM and sync status, such as `COMPLETE`; None when never selected."""
        status = sync_status or _NEVER_SELECTED
        super().__init__(contact_id=contact_id, crm=crm, sync_status=status)


class InvalidFilterError(InvalidArgumentError):
    """{field} is wrong at character {position}; expected was {expected}."""

    reason = error_reason_pb2.ERROR_REASON_INVALID_FILTER

    def __init__(self, field: str, position: int, expected: str) -> None:
        """Say where the filter is wrong, and what would be right there.

        Args:
            field: the path of the filter in the request, such as `filter.filter`.
            position: of the first wrong character, from 1; one more than the length at the end.
            expected: what would be right there, such as `a value` or `one of email, name`.
        """
        super().__init__(field=field, position=position, expected=expected)

    def details(self) -> Sequence[Message]:
        """Return the BadRequest."""
        violation = Violation(self.metadata["field"], "filter", self.message)
        told = field_violations([violation])
        return (error_details_pb2.BadRequest(field_violations=told),)


class ResumeTokenExpiredError(CrmsyncError):
    """Events after the resume token are no longer kept; the oldest kept is of {oldest_time}."""

    code = code_pb2.OUT_OF_RANGE
    reason = error_reason_pb2.ERROR_REASON_RESUME_TOKEN_EXPIRED

    def __init__(self, oldest_token: str, oldest_time: datetime) -> None:
        """Give the oldest valid token, and when what comes after it happened."""
        told = Timestamp()
        told.FromDatetime(oldest_time)
        super().__init__(oldest_token=oldest_token, oldest_time=told.ToJsonString())
