"""The shared allowance of a CRM account: one row per bucket, whichever replica draws on it."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


@dataclass(frozen=True, slots=True)
class Draw:
    """Calls to be drawn from one bucket of an account.

    cost: the calls' share of the period, at the steady rate.
    burst: how far ahead of the steady rate the bucket may be drawn.
    """

    org_id: str
    crm: str
    bucket: str
    cost: timedelta
    burst: timedelta


async def reserve(connection: AsyncConnection, draw: Draw, patience: timedelta) -> timedelta | None:
    """Reserve calls and return how long to wait before making them.

    Returns None, and reserves nothing, when the wait would exceed patience.
    """
    parameters = asdict(draw) | {"patience": patience}
    wait: timedelta | None = (
        await connection.execute(statement("quota/reserve"), parameters)
    ).scalar_one_or_none()
    return wait


async def next_time(connection: AsyncConnection, draw: Draw) -> datetime:
    """Return when a refused reservation would be granted at once."""
    granted: datetime = (
        await connection.execute(statement("quota/next_time"), asdict(draw))
    ).scalar_one()
    return granted
