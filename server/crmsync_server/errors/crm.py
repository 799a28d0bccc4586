"""Why a CRM did not answer what a caller asked of it."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import FailedPreconditionError
from crmsync_server.errors.server import UnavailableError

_SOONEST = timedelta(seconds=1)


class NotSupportedError(FailedPreconditionError):
    """{crm} does not offer {feature}."""

    reason = error_reason_pb2.ERROR_REASON_NOT_SUPPORTED

    def __init__(self, crm: str, feature: str) -> None:
        """Name the CRM and what was asked of it, such as a method's name."""
        super().__init__(crm=crm, feature=feature)


class RefusedCredentialsError(FailedPreconditionError):
    """{crm} refused the credentials."""

    reason = error_reason_pb2.ERROR_REASON_CREDENTIALS_REFUSED

    def __init__(self, crm: str, message: str = "") -> None:
        """Name the CRM; message: its own words, without secrets."""
        super().__init__(message, crm=crm)


class ConnectionMisconfiguredError(FailedPreconditionError):
    """The connection to {crm} cannot be used as it is."""

    reason = error_reason_pb2.ERROR_REASON_CONNECTION_MISCONFIGURED

    def __init__(self, crm: str, message: str = "") -> None:
        """Name the CRM; message: what is missing or wrong, without secrets."""
        super().__init__(message, crm=crm)


class CrmRefusedError(FailedPreconditionError):
    """{crm} refused what was asked, with {crm_code}."""

    reason = error_reason_pb2.ERROR_REASON_CRM_REFUSED

    def __init__(self, crm: str, code: str, message: str = "", request_id: str = "") -> None:
        """Give the CRM's own code, words and request id."""
        super().__init__(message, crm=crm, crm_code=code, crm_request_id=request_id)


class CrmBusyError(CrmsyncError):
    """{crm} asks to wait, with {crm_code}."""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = error_reason_pb2.ERROR_REASON_CRM_BUSY

    def __init__(self, crm: str, code: str, message: str = "", *, wait: timedelta) -> None:
        """Give the CRM's own code and words, and how long to wait."""
        self._wait = wait
        super().__init__(message, crm=crm, crm_code=code)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (retry_info(self._wait),)


class CrmUnavailableError(UnavailableError):
    """{crm} cannot answer at the moment, with {crm_code}."""

    reason = error_reason_pb2.ERROR_REASON_CRM_UNAVAILABLE

    def __init__(
        self, crm: str, code: str, message: str = "", *, wait: timedelta | None = None
    ) -> None:
        """Give the CRM's own code and words, and how long to wait, where it told."""
        self._wait = wait
        super().__init__(message, crm=crm, crm_code=code)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo, if the CRM told anything."""
        return () if self._wait is None else (retry_info(self._wait),)


def retry_info(wait: timedelta) -> Message:
    """Return the RetryInfo of a wait, a second at least."""
    delay = Duration()
    delay.FromTimedelta(max(wait, _SOONEST))
    told: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return told
