"""How a lost database looks, whichever layer noticed it: it passes, and needs no traceback."""

from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa

# The victim of a deadlock may try again too.
_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # it takes no connections for now
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TooManyConnectionsError,
    sa.exc.InterfaceError,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,
)


def lost(error: BaseException) -> BaseException | None:
    """Return the error, or the one among its causes, that says so; None where none does."""
    return next((cause for cause in _causes(error) if isinstance(cause, _LOST)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it; SQLAlchemy wraps the driver's."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
