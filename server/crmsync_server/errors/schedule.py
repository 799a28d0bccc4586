"""Why a schedule cannot be found."""

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.caller import NotFoundError


class ScheduleNotFoundError(NotFoundError):
    """There is no schedule of this id."""

    reason = error_reason_pb2.ERROR_REASON_SCHEDULE_NOT_FOUND
    resource_type = "crmsync.v1.Schedule"
