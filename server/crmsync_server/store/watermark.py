"""Watermarks: up to when each CRM was read, by its own clock."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def get(connection: AsyncConnection, org_id: str, crm: str) -> datetime | None:
    """Return up to when a CRM was read, None when it never was."""
    parameters = {"org_id": org_id, "crm": crm}
    found: datetime | None = await connection.scalar(statement("watermark/get"), parameters)
    return found


async def move(
    connection: AsyncConnection, org_id: str, crm: str, *, time: datetime, session_id: UUID
) -> None:
    """Say that everything before a time is stored; a watermark never moves back."""
    parameters = {"org_id": org_id, "crm": crm, "time": time, "session_id": session_id}
    await connection.execute(statement("watermark/move"), parameters)
