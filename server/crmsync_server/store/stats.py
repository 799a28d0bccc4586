"""Counts that are kept up as work is done, so that reading them costs the same at any size."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def get(connection: AsyncConnection, org_id: str, crm: str) -> sa.Row[Any]:
    """Return how many contacts stand where: selected, open, processing, complete, errors, skipped.

    open counts the queued and those being processed.
    """
    return await _one(connection, "stats/get", org_id, crm)


async def recent(connection: AsyncConnection, org_id: str, crm: str) -> sa.Row[Any]:
    """Return what the last 24 hours brought: synced, errors, skipped."""
    return await _one(connection, "stats/recent", org_id, crm)


async def backlogs(
    connection: AsyncConnection, org_id: str, crms: Sequence[str]
) -> dict[str, sa.Row[Any]]:
    """Return what estimates need, by CRM: open, records_per_second, paused_until, held."""
    parameters = {"org_id": org_id, "crms": list(crms)}
    rows = await connection.execute(statement("stats/backlogs"), parameters)
    return {row.crm: row for row in rows}


async def totals(connection: AsyncConnection) -> dict[str, int]:
    """Return how many deliveries are open over all organizations, by CRM."""
    rows = await connection.execute(statement("stats/totals"))
    return {row.crm: int(row.open) for row in rows}


async def _one(connection: AsyncConnection, name: str, org_id: str, crm: str) -> sa.Row[Any]:
    return (await connection.execute(statement(name), {"org_id": org_id, "crm": crm})).one()
