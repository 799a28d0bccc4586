"""Lanes: the deliveries of one organization at one CRM, their pauses and their pace."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def pause(
    connection: AsyncConnection, org_id: str, crm: str, *, until: datetime, code: str, message: str
) -> None:
    """Keep a lane from delivering until then, and remember why."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "until": until,
        "clock": datetime.now(UTC),
        "code": code,
        "message": message,
    }
    await connection.execute(statement("lane/pause"), parameters)


async def measure(
    connection: AsyncConnection, org_id: str, crm: str, records_per_second: float
) -> None:
    """Remember how fast a lane goes."""
    parameters = {"org_id": org_id, "crm": crm, "records_per_second": records_per_second}
    await connection.execute(statement("lane/measure"), parameters)
