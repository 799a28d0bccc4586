"""The shared allowance of a CRM account: one row per bucket, whichever replica draws on it."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def reserve(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    bucket: str,
    *,
    cost: timedelta,
    burst: timedelta,
    patience: timedelta,
) -> timedelta | None:
    """Reserve calls and return how long to wait before making them.

    cost: the calls' share of the period, at the steady rate.
    burst: how far ahead of the steady rate the bucket may be drawn.
    Returns None, and reserves nothing, when the wait would exceed patience.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "bucket": bucket,
        "cost": cost,
        "burst": burst,
        "patience": patience,
    }
    wait: timedelta | None = (
        await connection.execute(statement("quota/reserve"), parameters)
    ).scalar_one_or_none()
    return wait


async def next_time(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    bucket: str,
    *,
    cost: timedelta,
    burst: timedelta,
) -> datetime:
    """Return when a refused reservation would be granted at once."""
    parameters = {"org_id": org_id, "crm": crm, "bucket": bucket, "cost": cost, "burst": burst}
    granted: datetime = (
        await connection.execute(statement("quota/next_time"), parameters)
    ).scalar_one()
    return granted
