"""Why a record cannot be synchronized at once, and a search not be exported."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from google.protobuf.message import Message
from google.rpc import code_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import error_reason_pb2
from crmsync_server.errors.base import CrmsyncError
from crmsync_server.errors.caller import FailedPreconditionError
from crmsync_server.errors.crm import retry_info


class NoCrmReadyError(FailedPreconditionError):
    """No CRM can take the contact {contact_id} now: {skipped}."""

    reason = error_reason_pb2.ERROR_REASON_NO_CRM_READY

    def __init__(self, contact_id: str, skipped: Mapping[str, str]) -> None:
        """Name the contact, and by each CRM the reason."""
        told = ",".join(f"{crm}={why}" for crm, why in sorted(skipped.items()))
        super().__init__(contact_id=contact_id, skipped=told)


class ExportTooLargeError(FailedPreconditionError):
    """A file of format {format} holds {limit} records at most; the search finds {total_size}."""

    reason = error_reason_pb2.ERROR_REASON_EXPORT_TOO_LARGE

    def __init__(self, file_format: str, limit: int, total_size: int) -> None:
        """Name the format, such as `XLSX`, what it holds and what was found."""
        super().__init__(format=file_format, limit=limit, total_size=total_size)


class ExportCellTooLongError(FailedPreconditionError):
    """A cell of format {format} holds {limit} characters; column {column} has {length} in one."""

    reason = error_reason_pb2.ERROR_REASON_EXPORT_CELL_TOO_LONG

    def __init__(self, file_format: str, limit: int, column: str, length: int) -> None:
        """Name the format, such as `XLSX`, what its cells hold and what was found where."""
        super().__init__(format=file_format, limit=limit, column=column, length=length)


class ExportBusyError(CrmsyncError):
    """{limit} exports of this {scope} run at the moment, which is as many as may."""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = error_reason_pb2.ERROR_REASON_EXPORT_BUSY

    def __init__(self, scope: str, limit: int, wait: timedelta) -> None:
        """Say how many of a `server` or `organization` may run, and when to try again."""
        self._wait = wait
        super().__init__(scope=scope, limit=limit)

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (retry_info(self._wait),)


class ExportGivenUpError(CrmsyncError):
    """The export was given up for others: nothing of it was read for {seconds} seconds."""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = error_reason_pb2.ERROR_REASON_EXPORT_GIVEN_UP

    def __init__(self, seconds: float, wait: timedelta) -> None:
        """Say for how long nothing was read, and when to try again."""
        self._wait = wait
        super().__init__(seconds=f"{seconds:g}")

    def details(self) -> Sequence[Message]:
        """Return the RetryInfo."""
        return (retry_info(self._wait),)
