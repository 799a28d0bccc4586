"""What was found of a connection, written down."""

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import Standing
from crmsync_server.store import connection as connections
from crmsync_server.store.health import health_of


async def keep_health(
    connection: AsyncConnection, org_id: str, crm: str, standing: Standing
) -> None:
    """Write down how an organization's connection was found; nothing without one."""
    health = health_of(valid=standing.valid, reachable=standing.reachable)
    found = connections.Found(health, standing.message, standing.account_id)
    await connections.record_health(connection, org_id, crm, found)
