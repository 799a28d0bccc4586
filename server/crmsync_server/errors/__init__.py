"""What a caller is told when a call fails: one class for each reason of error_reason.proto.

CrmsyncError
├── InvalidArgumentError
│   ├── InvalidRequestError
│   ├── UnknownCrmError
│   ├── InvalidPageTokenError
│   └── RequestIdReusedError
├── NotFoundError
│   ├── ContactNotFoundError
│   └── SessionNotFoundError
├── EmailTakenError
├── FailedPreconditionError
│   ├── EmailRequiredError
│   ├── CrmDisabledError
│   └── SessionEndedError
├── VersionMismatchError
├── UnauthenticatedError
├── RoleRequiredError
├── TooManyItemsError
├── UnavailableError
│   ├── DrainingError
│   └── DatabaseUnavailableError
├── InternalError
└── ImportInterruptedError      with the code of its cause

The docstring of a class is its message, filled in from its metadata. `to_status` makes the
google.rpc.Status that travels.
"""

from crmsync_server.errors.base import CrmsyncError
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
from crmsync_server.errors.details import Violation
from crmsync_server.errors.server import (
    DatabaseUnavailableError,
    DrainingError,
    ImportInterruptedError,
    InternalError,
    UnavailableError,
)
from crmsync_server.errors.status import to_status

__all__ = [
    "ContactNotFoundError",
    "CrmDisabledError",
    "CrmsyncError",
    "DatabaseUnavailableError",
    "DrainingError",
    "EmailRequiredError",
    "EmailTakenError",
    "FailedPreconditionError",
    "ImportInterruptedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidPageTokenError",
    "InvalidRequestError",
    "NotFoundError",
    "RequestIdReusedError",
    "RoleRequiredError",
    "SessionEndedError",
    "SessionNotFoundError",
    "TooManyItemsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownCrmError",
    "VersionMismatchError",
    "Violation",
    "to_status",
]
