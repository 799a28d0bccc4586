"""Why conversations cannot be seen or carried on, or not by this caller now."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import FailedPreconditionError, NotFoundError
from crmsync_server.errors.crm import retry_info


class ConversationNotFoundError(NotFoundError):
    """There is no conversation of this id."""

    reason = error_reason_pb2.ERROR_REASON_CONVERSATION_NOT_FOUND
    resource_type = "crmsync.v1.Conversation"


class AccountNotFoundError(NotFoundError):
    """No WhatsApp account is connected."""

    reason = error_reason_pb2.ERROR_REASON_ACCOUNT_NOT_FOUND
    resource_type = "crmsync.v1.WhatsAppAccount"


class AccountNotSyncedError(FailedPreconditionError):
    """The WhatsApp account is not fully synced; missing: {missing}."""

    reason = error_reason_pb2.ERROR_REASON_ACCOUNT_NOT_SYNCED

    def __init__(self, missing: Sequence[str]) -> None:
        """Name what is missing."""
        super().__init__(missing=",".join(missing))


class SubscriptionRequiredError(CrmsyncError):
    """{method} needs a subscription, and the token shows none."""

    code = code_pb2.PERMISSION_DENIED
    reason = error_reason_pb2.ERROR_REASON_SUBSCRIPTION_REQUIRED

    def __init__(self, method: str) -> None:
        """Name the method."""
        super().__init__(method=method)


class RateLimitedError(CrmsyncError):
    """{method} may be called {limit} times an hour."""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = error_reason_pb2.ERROR_REASON_RATE_LIMITED

    def __init__(self, method: str, limit: int, caller: str, wait: timedelta) -> None:
        """Name the method, its limit, who called, and how long until another call is allowed."""
        self._caller = caller
        self._wait = wait
        super().__init__(method=method, limit=limit)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo and the QuotaFailure."""
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=f"caller:{self._caller}", description=self.message
        )
        return (
            retry_info(self._wait),
            error_details_pb2.QuotaFailure(violations=[violation]),
        )


class TemplateRequiredError(FailedPreconditionError):
    """Free text may be sent only within 24 hours of the last message received; send a template."""

    reason = error_reason_pb2.ERROR_REASON_TEMPLATE_REQUIRED

    def __init__(self, contact_id: str, window_end_time: str) -> None:
        """Name the contact, and when its window ended in RFC 3339; empty where there was none."""
        super().__init__(contact_id=contact_id, window_end_time=window_end_time)
