"""Why a lead cannot be found, or not be registered now."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import code_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import NotFoundError
from crmsync_server.errors.crm import retry_info


class LeadNotFoundError(NotFoundError):
    """There is no lead of this id."""

    reason = error_reason_pb2.ERROR_REASON_LEAD_NOT_FOUND
    resource_type = "crmsync.v1.Lead"


class LeadNotAtCrmError(NotFoundError):
    """The CRM knows neither the id nor the email of this lead."""

    reason = error_reason_pb2.ERROR_REASON_LEAD_NOT_AT_CRM
    resource_type = "crmsync.v1.Lead"

    def __init__(self, lead_id: str, crm: str) -> None:
        """Name the lead and the CRM."""
        super().__init__(lead_id)
        self.metadata |= {"lead_id": lead_id, "crm": crm}


class LeadBusyError(CrmsyncError):
    """Another call is registering the lead {lead_id}."""

    code = code_pb2.ABORTED
    reason = error_reason_pb2.ERROR_REASON_LEAD_BUSY

    def __init__(self, lead_id: str, wait: timedelta) -> None:
        """Name the lead, and when to try again."""
        self._wait = wait
        super().__init__(lead_id=lead_id)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (retry_info(self._wait),)
