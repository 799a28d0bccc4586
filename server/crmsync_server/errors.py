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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import ClassVar

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
    status_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync.v1.error_reason_pb2 import ErrorReason

DOMAIN = "crmsync"
CONTACT = "crmsync.v1.Contact"
SESSION = "crmsync.v1.Session"

_PREFIX = "ERROR_REASON_"
# A status travels in trailers, its message there twice, and clients refuse trailers of more than
# 8 KiB. Some of its text is the caller's: the path of a violation holds the keys of maps.
_LONGEST_TEXT = 300  # characters
_VIOLATIONS_BUDGET = 3_500  # bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a field broke.

    Attributes:
        field: the path of the field, such as `contact.email` or `contact_ids[3]`.
        rule: the rule's name, such as `string.email`.
        description: what would be right, in words.
    """

    field: str
    rule: str
    description: str


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
        self.metadata = {key: _clipped(str(value)) for key, value in metadata.items()}
        template = cleandoc(type(self).__doc__ or "").partition("\n")[0]
        self.message = _clipped(message) or template.format_map(self.metadata)
        super().__init__(self.message)

    def details(self) -> Sequence[Message]:
        """Return the details that the status carries beside its ErrorInfo."""
        return ()


class InvalidArgumentError(CrmsyncError):
    """The request cannot be right, whatever the state of the server."""

    code = code_pb2.INVALID_ARGUMENT


class InvalidRequestError(InvalidArgumentError):
    """Fields of the request break their rules."""

    reason = error_reason_pb2.ERROR_REASON_INVALID_REQUEST

    def __init__(self, violations: Sequence[Violation]) -> None:
        """List every violation; the first of them travel, as many as a status has room for."""
        self.violations = violations
        self._told = _fitting(violations)
        super().__init__(self._summary())

    def details(self) -> Sequence[Message]:
        """Return the BadRequest."""
        return (error_details_pb2.BadRequest(field_violations=self._told),)

    def _summary(self) -> str:
        told = "; ".join(f"{one.field} {one.description}".strip() for one in self._told[:3])
        if (count := len(self.violations)) <= len(self._told):
            return told
        return f"{count} violations, of which the first {len(self._told)} are listed: {told}"


class UnknownCrmError(InvalidArgumentError):
    """No CRM is called '{crm}'; these are known: {known}."""

    reason = error_reason_pb2.ERROR_REASON_UNKNOWN_CRM

    def __init__(self, crm: str, known: Iterable[str]) -> None:
        """Name what was asked for, and what there is."""
        super().__init__(crm=crm, known=",".join(sorted(known)))


class InvalidPageTokenError(InvalidArgumentError):
    """The page token is damaged, or was given for another query."""

    reason = error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN


class RequestIdReusedError(InvalidArgumentError):
    """The request_id {request_id} was used before, with another request to {method}."""

    reason = error_reason_pb2.ERROR_REASON_REQUEST_ID_REUSED

    def __init__(self, request_id: str, method: str) -> None:
        """Name the id, and the method that it was first used with, such as `QueueContact`."""
        super().__init__(request_id=request_id, method=method)


class NotFoundError(CrmsyncError):
    """There is no such resource in the caller's organization."""

    code = code_pb2.NOT_FOUND
    resource_type: ClassVar[str]

    def __init__(self, resource_id: str) -> None:
        """Name the resource that is missing."""
        self._resource_id = resource_id
        super().__init__()

    def details(self) -> Sequence[Message]:
        """Return the ResourceInfo."""
        return (_resource(self.resource_type, self._resource_id, self.message),)


class ContactNotFoundError(NotFoundError):
    """There is no contact of this id."""

    reason = error_reason_pb2.ERROR_REASON_CONTACT_NOT_FOUND
    resource_type = CONTACT


class SessionNotFoundError(NotFoundError):
    """There is no session of this id."""

    reason = error_reason_pb2.ERROR_REASON_SESSION_NOT_FOUND
    resource_type = SESSION


class EmailTakenError(CrmsyncError):
    """Another contact has this email: {contact_id}."""

    code = code_pb2.ALREADY_EXISTS
    reason = error_reason_pb2.ERROR_REASON_EMAIL_TAKEN

    def __init__(self, contact_id: str) -> None:
        """Name the contact that has it."""
        super().__init__(contact_id=contact_id)

    def details(self) -> Sequence[Message]:
        """Return the ResourceInfo."""
        return (_resource(CONTACT, self.metadata["contact_id"], self.message),)


class FailedPreconditionError(CrmsyncError):
    """The state of the server does not allow the call; trying again does not help."""

    code = code_pb2.FAILED_PRECONDITION


class EmailRequiredError(FailedPreconditionError):
    """The contact {contact_id} has no email, and {crm} cannot hold it without one."""

    reason = error_reason_pb2.ERROR_REASON_EMAIL_REQUIRED

    def __init__(self, contact_id: str, crm: str) -> None:
        """Name the contact, and the CRM that needs the email."""
        super().__init__(contact_id=contact_id, crm=crm)


class CrmDisabledError(FailedPreconditionError):
    """This server has no credentials for {crm}."""

    reason = error_reason_pb2.ERROR_REASON_CRM_DISABLED

    def __init__(self, crm: str) -> None:
        """Name the CRM."""
        super().__init__(crm=crm)


class SessionEndedError(FailedPreconditionError):
    """The session {session_id} has ended as {state} and cannot be changed any more."""

    reason = error_reason_pb2.ERROR_REASON_SESSION_ENDED

    def __init__(self, session_id: str, state: str) -> None:
        """Name the session and its state, such as `SUCCEEDED`."""
        super().__init__(session_id=session_id, state=state)


class VersionMismatchError(CrmsyncError):
    """The contact has changed since; its version is now {version}."""

    code = code_pb2.ABORTED
    reason = error_reason_pb2.ERROR_REASON_VERSION_MISMATCH

    def __init__(self, version: int) -> None:
        """Give the present version."""
        super().__init__(version=version)


class UnauthenticatedError(CrmsyncError):
    """There is no bearer token, or it does not hold."""

    code = code_pb2.UNAUTHENTICATED
    reason = error_reason_pb2.ERROR_REASON_UNAUTHENTICATED

    def __init__(self, message: str) -> None:
        """Say what is wrong with the token, without repeating any of it."""
        super().__init__(message)


class RoleRequiredError(CrmsyncError):
    """{method} needs the role {required_role}, which the token does not have."""

    code = code_pb2.PERMISSION_DENIED
    reason = error_reason_pb2.ERROR_REASON_ROLE_REQUIRED

    def __init__(self, method: str, required_role: str) -> None:
        """Name the method, such as `/crmsync.v1.SyncService/QueueContact`, and the role."""
        super().__init__(method=method, required_role=required_role)


class TooManyItemsError(CrmsyncError):
    """{field} holds {received} items; one call takes at most {limit}."""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = error_reason_pb2.ERROR_REASON_TOO_MANY_ITEMS

    def __init__(self, field: str, limit: int, received: int) -> None:
        """Name the repeated field, and both numbers of items."""
        super().__init__(field=field, limit=limit, received=received)

    def details(self) -> Sequence[Message]:
        """Return the QuotaFailure."""
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=self.metadata["field"], description=self.message)
        return (quota,)


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
        self.message = _clipped(f"{self.message} {cause.message}")

    def details(self) -> Sequence[Message]:
        """Return those of the cause."""
        return self._cause.details()


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


def _resource(kind: str, name: str, description: str) -> Message:
    info: Message = error_details_pb2.ResourceInfo(
        resource_type=kind, resource_name=_clipped(name), description=description
    )
    return info


def _fitting(
    violations: Iterable[Violation],
) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Return the first violations, as many as a status has room for."""
    fitting = []
    room = _VIOLATIONS_BUDGET
    for one in violations:
        told = _field_violation(one)
        room -= told.ByteSize()
        if room < 0:
            break
        fitting.append(told)
    return fitting


def _field_violation(one: Violation) -> error_details_pb2.BadRequest.FieldViolation:
    return error_details_pb2.BadRequest.FieldViolation(
        field=_clipped(one.field),
        description=_clipped(one.description),
        reason=one.rule.replace(".", "_").upper(),  # the form that google.rpc asks for
    )


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
