"""What is gone at a CRM: found, measured and dealt with at the end of a reading."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def gather(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Note what a whole reading should have brought and did not."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("sweep/gather"), parameters)


async def gone(connection: AsyncConnection, org_id: str, crm: str, session_id: UUID) -> int:
    """Return how many contacts a session has found the records of gone."""
    parameters = {"org_id": org_id, "crm": crm, "session_id": session_id}
    return int(await connection.scalar(statement("sweep/gone"), parameters) or 0)


async def linked(connection: AsyncConnection, org_id: str, crm: str) -> int:
    """Return how many contacts are linked to records of a CRM."""
    parameters = {"org_id": org_id, "crm": crm}
    return int(await connection.scalar(statement("sweep/linked"), parameters) or 0)


async def pending(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, after: str, size: int
) -> Sequence[str]:
    """Return the CRM's ids of the next records that are still to be dealt with."""
    parameters = {"org_id": org_id, "session_id": session_id, "after": after, "size": size}
    return list(await connection.scalars(statement("sweep/pending"), parameters))
