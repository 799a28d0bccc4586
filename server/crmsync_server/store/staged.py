"""What the session that applies a plan has read again: kept until the plan is done, or not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def keep(
    connection: AsyncConnection, org_id: str, session_id: UUID, records: Mapping[str, Any]
) -> None:
    """Keep records by their keys, not decided yet."""
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "keys": list(records),
        "fields": [json.dumps(one) for one in records.values()],
    }
    await connection.execute(statement("staged/keep"), parameters)


async def drifted(
    connection: AsyncConnection, org_id: str, session_id: UUID, keys: Sequence[str]
) -> None:
    """Note records that are not as the plan has them; each is counted once."""
    if keys:
        parameters = {"org_id": org_id, "session_id": session_id, "keys": list(keys)}
        await connection.execute(statement("staged/drifted"), parameters)


async def all_drifted(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, size: int
) -> Sequence[str]:
    """Return the first of the records that are not as the plan has them."""
    parameters = {"org_id": org_id, "session_id": session_id, "size": size}
    return list(await connection.scalars(statement("staged/all_drifted"), parameters))


async def lock(connection: AsyncConnection, org_id: str, plan_id: UUID) -> None:
    """Lock the contacts of a plan, so that they stay as they are found."""
    parameters = {"org_id": org_id, "plan_id": plan_id}
    await connection.execute(statement("staged/lock"), parameters)


async def page(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, after: str, size: int
) -> Sequence[sa.Row[Any]]:
    """Return the next records that were kept, by their keys."""
    parameters = {"org_id": org_id, "session_id": session_id, "after": after, "size": size}
    return (await connection.execute(statement("staged/page"), parameters)).all()
