"""Why a call cannot be granted, as it is and as things stand."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    code_pb2,
    error_details_pb2,
)

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.details import Violation, field_violations, resource

CONTACT = "crmsync.v1.Contact"
SESSION = "crmsync.v1.Session"


class InvalidArgumentError(CrmsyncError):
    """The request cannot be right, whatever the state of the server."""

    code = code_pb2.INVALID_ARGUMENT


class InvalidRequestError(InvalidArgumentError):
    """Fields of the request break their rules."""

    reason = error_reason_pb2.ERROR_REASON_INVALID_REQUEST

    def __init__(self, violations: Sequence[Violation]) -> None:
        """List every violation; the first of them travel, as many as a status has room for."""
        self.violations = violations
        self._told = field_violations(violations)
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
        return (resource(self.resource_type, self._resource_id, self.message),)


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
        return (resource(CONTACT, self.metadata["contact_id"], self.message),)


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
    """{crm} has no credentials here, or is switched off."""

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
    """The resource has changed since; its version is now {version}."""

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
