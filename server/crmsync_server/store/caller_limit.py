"""How often callers have called within the hour, shared by all replicas."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def take(
    connection: AsyncConnection, org_id: str, caller: str, kind: str, most: int
) -> timedelta | None:
    """Count a call of a kind, if one more is allowed; None then, else how long to wait.

    most: calls an hour, 1 or more. The hour begins with a first call.
    """
    parameters = {"org_id": org_id, "caller": caller, "kind": kind, "most": most}
    row = (await connection.execute(statement("caller_limit/take"), parameters)).one()
    return None if row.calls is not None else timedelta(seconds=float(row.wait_seconds))


async def purge(connection: AsyncConnection) -> int:
    """Forget hours that are over, of any organization; return how many they were."""
    return (await connection.execute(statement("caller_limit/purge"))).rowcount
