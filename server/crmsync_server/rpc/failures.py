"""What becomes of an error that leaves a handler, and the one line that tells of a call."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc
import structlog
from grpc_status import rpc_status

from crmsync_server.errors import (
    CrmsyncError,
    DatabaseUnavailableError,
    DrainingError,
    InternalError,
    to_status,
)
from crmsync_server.rpc.context import Context
from crmsync_server.store.lost import lost

RESUME_TOKEN = "crmsync-resume-token"  # noqa: S105 - the name of a trailer

_log = structlog.get_logger()


def told(error: Exception) -> CrmsyncError:
    """Return what a caller is told of an error: itself, when it is meant for callers.

    Any other is logged, and replaced by one that gives nothing away.
    """
    if isinstance(error, CrmsyncError):
        return error
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return told(error.exceptions[0])
    if cause := lost(error):
        # No traceback: every call of an outage comes by here.
        _log.warning("the database is unavailable", kind=type(cause).__name__, error=str(cause))
        return DatabaseUnavailableError()
    error_id = str(uuid4())
    _log.error("a call failed unexpectedly", error_id=error_id, exc_info=error)
    return InternalError(error_id)


@asynccontextmanager
async def answering(method: str, context: Context) -> AsyncIterator[dict[str, object]]:
    """End the call with the status of the error that leaves the block, and log the call.

    Yields what the log line tells; the block adds to it.
    """
    line: dict[str, object] = {"method": method, "code": grpc.StatusCode.OK.name}
    started = time.perf_counter()
    try:
        yield line
    except asyncio.CancelledError:
        line["code"] = grpc.StatusCode.CANCELLED.name
        raise
    except grpc.aio.AbortError:
        line["code"] = "ABORTED_BY_HANDLER"
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
        failure = told(error)
        status = rpc_status.to_status(to_status(failure))
        line["code"] = status.code.name
        line.update(failure.metadata)
        await context.abort(status.code, status.details, _trailers(status, failure))
    finally:
        _log.debug("call", duration=round(time.perf_counter() - started, 6), **line)


def _trailers(status: grpc.Status, failure: CrmsyncError) -> tuple[tuple[str, str | bytes], ...]:
    trailers = tuple(status.trailing_metadata)
    if isinstance(failure, DrainingError) and "resume_token" in failure.metadata:
        return (*trailers, (RESUME_TOKEN, failure.metadata["resume_token"]))
    return trailers
