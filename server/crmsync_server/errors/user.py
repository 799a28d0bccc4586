"""Why users cannot be found or taken in."""

from google.rpc import code_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import FailedPreconditionError, NotFoundError


class UserNotFoundError(NotFoundError):
    """There is no such user."""

    reason = error_reason_pb2.ERROR_REASON_USER_NOT_FOUND
    resource_type = "crmsync.v1.User"


class OrganizationMismatchError(CrmsyncError):
    """The user at {index} is of the organization {org_code}, which is not the caller's."""

    code = code_pb2.PERMISSION_DENIED
    reason = error_reason_pb2.ERROR_REASON_ORGANIZATION_MISMATCH

    def __init__(self, index: int, org_code: str) -> None:
        """Name the first such user's place in the call, and the organization."""
        super().__init__(index=index, org_code=org_code)


class TooManyDeactivationsError(FailedPreconditionError):
    """It would deactivate {deactivations} of {active} active users; {max_share} of them may be."""

    reason = error_reason_pb2.ERROR_REASON_TOO_MANY_DEACTIVATIONS

    def __init__(self, deactivations: int, active: int, max_share: float) -> None:
        """Say how many it would be, of how many, and which share is allowed."""
        super().__init__(deactivations=deactivations, active=active, max_share=f"{max_share:g}")


class ReconcileRunningError(CrmsyncError):
    """Another reconcile of this organization is under way."""

    code = code_pb2.ABORTED
    reason = error_reason_pb2.ERROR_REASON_RECONCILE_RUNNING
