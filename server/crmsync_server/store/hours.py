"""The hours of the statistics, as they age.

The hour under way and the two before it are written by many, side by side; older ones are folded
into one row each, and forgotten when they are past their retention.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def fold_calls(connection: AsyncConnection) -> int:
    """Fold what attempts ended in, and calls; return how many rows are left of them."""
    return (await connection.execute(statement("hours/fold_calls"))).rowcount


async def fold_errors(connection: AsyncConnection) -> int:
    """Fold errors by code; return how many rows are left of them."""
    return (await connection.execute(statement("hours/fold_errors"))).rowcount


async def fold_readings(connection: AsyncConnection) -> int:
    """Fold readings and conflicts; return how many rows are left of them."""
    return (await connection.execute(statement("hours/fold_readings"))).rowcount


async def purge_calls(connection: AsyncConnection, *, days: int) -> int:
    """Forget what attempts ended in, and calls of hours that are older; return how many rows."""
    return (await connection.execute(statement("hours/purge_calls"), {"days": days})).rowcount


async def purge_errors(connection: AsyncConnection, *, days: int) -> int:
    """Forget errors by code of hours that are older; return how many rows."""
    return (await connection.execute(statement("hours/purge_errors"), {"days": days})).rowcount


async def purge_readings(connection: AsyncConnection, *, days: int) -> int:
    """Forget readings and conflicts of hours that are older; return how many rows."""
    return (await connection.execute(statement("hours/purge_readings"), {"days": days})).rowcount


async def fold(connection: AsyncConnection) -> None:
    """Fold all hours that are over."""
    await fold_calls(connection)
    await fold_errors(connection)
    await fold_readings(connection)


async def purge(connection: AsyncConnection, *, days: int) -> int:
    """Forget all hours that are older; return how many rows."""
    purged = await purge_calls(connection, days=days)
    purged += await purge_errors(connection, days=days)
    return purged + await purge_readings(connection, days=days)
