"""What is gone at a CRM: found, measured and dealt with at the end of a reading."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def gather(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Note what a whole reading should have brought and did not."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("sweep/gather"), parameters)


async def measure(
    connection: AsyncConnection, org_id: str, crm: str, session_id: UUID
) -> tuple[int, int]:
    """Return how many linked records are gone, and how many are linked at all."""
    parameters = {"org_id": org_id, "crm": crm, "session_id": session_id}
    row = (await connection.execute(statement("sweep/measure"), parameters)).one()
    return row.gone, row.linked


async def pending(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, size: int
) -> Sequence[str]:
    """Return the CRM's ids of records that are still to be dealt with."""
    parameters = {"org_id": org_id, "session_id": session_id, "size": size}
    return list(await connection.scalars(statement("sweep/pending"), parameters))
