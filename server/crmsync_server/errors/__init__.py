"""What a caller is told when a call fails: one class for each reason of error_reason.proto.

CrmsyncError
├── InvalidArgumentError
│   ├── InvalidRequestError
│   ├── UnknownCrmError
│   ├── InvalidPageTokenError
│   ├── RequestIdReusedError
│   ├── InvalidFilterError
│   ├── BatchRejectedError
│   └── UrlNotAllowedError
├── NotFoundError
│   ├── ContactNotFoundError
│   ├── SessionNotFoundError
│   ├── ConflictNotFoundError
│   ├── ConnectionNotFoundError
│   ├── AccountNotFoundError
│   ├── ConversationNotFoundError
│   ├── LeadNotFoundError
│   ├── LeadNotAtCrmError
│   ├── ScheduleNotFoundError
│   └── UserNotFoundError
├── EmailTakenError
├── ConnectionExistsError
├── FailedPreconditionError
│   ├── EmailRequiredError
│   ├── CrmDisabledError
│   ├── SessionEndedError
│   ├── NotInErrorError
│   ├── NotQueuedError
│   ├── SessionActiveError
│   ├── PlanNotReadyError
│   ├── ConflictClosedError
│   ├── TooManyDeactivationsError
│   ├── AccountNotSyncedError
│   ├── TemplateRequiredError
│   ├── NotSupportedError
│   ├── RefusedCredentialsError
│   ├── ConnectionMisconfiguredError
│   ├── CrmRefusedError
│   ├── NoCrmReadyError
│   ├── ExportTooLargeError
│   └── ExportCellTooLongError
├── VersionMismatchError
├── LeadBusyError
├── LeadBusyError
├── ResumeTokenExpiredError
├── UnauthenticatedError
├── RoleRequiredError
├── SubscriptionRequiredError
├── RateLimitedError
├── OrganizationMismatchError
├── ReconcileRunningError
├── ContactsBusyError
├── TooManyItemsError
├── CrmBusyError
├── ExportBusyError
├── ExportGivenUpError
├── UnavailableError
│   ├── DrainingError
│   ├── DatabaseUnavailableError
│   └── CrmUnavailableError
├── InternalError
└── ImportInterruptedError      with the code of its cause

The docstring of a class is its message, filled in from its metadata. `to_status` makes the
google.rpc.Status that travels.
"""

from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.bulk import BatchRejectedError, ContactsBusyError
from crmsync_server.errors.caller import (
    ContactNotFoundError,
    CrmDisabledError,
    EmailRequiredError,
    EmailTakenError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidPageTokenError,
    InvalidRequestError,
    NotFoundError,
    RequestIdReusedError,
    RoleRequiredError,
    SessionEndedError,
    SessionNotFoundError,
    TooManyItemsError,
    UnauthenticatedError,
    UnknownCrmError,
    VersionMismatchError,
)
from crmsync_server.errors.connection import (
    ConnectionExistsError,
    ConnectionNotFoundError,
    UrlNotAllowedError,
)
from crmsync_server.errors.conversation import (
    AccountNotFoundError,
    AccountNotSyncedError,
    ConversationNotFoundError,
    RateLimitedError,
    SubscriptionRequiredError,
    TemplateRequiredError,
)
from crmsync_server.errors.crm import (
    ConnectionMisconfiguredError,
    CrmBusyError,
    CrmRefusedError,
    CrmUnavailableError,
    NotSupportedError,
    RefusedCredentialsError,
)
from crmsync_server.errors.details import Violation
from crmsync_server.errors.lead import LeadBusyError, LeadNotAtCrmError, LeadNotFoundError
from crmsync_server.errors.queue import (
    InvalidFilterError,
    NotInErrorError,
    NotQueuedError,
    ResumeTokenExpiredError,
)
from crmsync_server.errors.schedule import ScheduleNotFoundError
from crmsync_server.errors.search import (
    ExportBusyError,
    ExportCellTooLongError,
    ExportGivenUpError,
    ExportTooLargeError,
    NoCrmReadyError,
)
from crmsync_server.errors.server import (
    DatabaseUnavailableError,
    DrainingError,
    ImportInterruptedError,
    InternalError,
    UnavailableError,
)
from crmsync_server.errors.session import (
    ConflictClosedError,
    ConflictNotFoundError,
    PlanNotReadyError,
    SessionActiveError,
)
from crmsync_server.errors.status import to_status
from crmsync_server.errors.user import (
    OrganizationMismatchError,
    ReconcileRunningError,
    TooManyDeactivationsError,
    UserNotFoundError,
)

__all__ = [
    "AccountNotFoundError",
    "AccountNotSyncedError",
    "BatchRejectedError",
    "ConflictClosedError",
    "ConflictNotFoundError",
    "ConnectionExistsError",
    "ConnectionMisconfiguredError",
    "ConnectionNotFoundError",
    "ContactNotFoundError",
    "ContactsBusyError",
    "ConversationNotFoundError",
    "CrmBusyError",
    "CrmDisabledError",
    "CrmRefusedError",
    "CrmUnavailableError",
    "CrmsyncError",
    "DatabaseUnavailableError",
    "DrainingError",
    "EmailRequiredError",
    "EmailTakenError",
    "ExportBusyError",
    "ExportCellTooLongError",
    "ExportGivenUpError",
    "ExportTooLargeError",
    "FailedPreconditionError",
    "ImportInterruptedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidPageTokenError",
    "InvalidRequestError",
    "LeadBusyError",
    "LeadNotAtCrmError",
    "LeadNotFoundError",
    "NoCrmReadyError",
    "NotFoundError",
    "NotInErrorError",
    "NotQueuedError",
    "NotSupportedError",
    "OrganizationMismatchError",
    "PlanNotReadyError",
    "RateLimitedError",
    "ReconcileRunningError",
    "RefusedCredentialsError",
    "RequestIdReusedError",
    "ResumeTokenExpiredError",
    "RoleRequiredError",
    "ScheduleNotFoundError",
    "SessionActiveError",
    "SessionEndedError",
    "SessionNotFoundError",
    "SubscriptionRequiredError",
    "TemplateRequiredError",
    "TooManyDeactivationsError",
    "TooManyItemsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownCrmError",
    "UrlNotAllowedError",
    "UserNotFoundError",
    "VersionMismatchError",
    "Violation",
    "to_status",
]
