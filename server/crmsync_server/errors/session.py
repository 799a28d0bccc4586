"""Why a session cannot be started, and a conflict not be resolved."""

from collections.abc import Sequence

from google.protobuf.message import Message

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.caller import SESSION, FailedPreconditionError, NotFoundError
from crmsync_server.errors.details import resource


class SessionActiveError(FailedPreconditionError):
    """The session {session_id} of the same kind is active at {crm}."""

    reason = error_reason_pb2.ERROR_REASON_SESSION_ACTIVE

    def __init__(self, session_id: str, crm: str, kind: str) -> None:
        """Name the session that is active, its CRM and its kind, such as `FULL_SYNC`."""
        super().__init__(session_id=session_id, crm=crm, kind=kind)

    def details(self) -> Sequence[Message]:
        """Return the ResourceInfo."""
        return (resource(SESSION, self.metadata["session_id"], self.message),)


class PlanNotReadyError(FailedPreconditionError):
    """The session {session_id} has no plan that could be applied: {why}."""

    reason = error_reason_pb2.ERROR_REASON_PLAN_NOT_READY

    def __init__(self, session_id: str, why: str) -> None:
        """Name the session; why is NOT_A_DRY_RUN, NOT_SUCCEEDED, EXPIRED or APPLIED."""
        super().__init__(session_id=session_id, why=why)


class ConflictNotFoundError(NotFoundError):
    """There is no conflict of this id."""

    reason = error_reason_pb2.ERROR_REASON_CONFLICT_NOT_FOUND
    resource_type = "crmsync.v1.Conflict"


class ConflictClosedError(FailedPreconditionError):
    """The conflict {conflict_id} is no longer open; it is {state}."""

    reason = error_reason_pb2.ERROR_REASON_CONFLICT_CLOSED

    def __init__(self, conflict_id: str, state: str) -> None:
        """Name the conflict and its state, such as `RESOLVED`."""
        super().__init__(conflict_id=conflict_id, state=state)
