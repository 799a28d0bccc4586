"""What must hold of the queue at any committed moment, as one query; tests and doctors run it."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def violations(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return every broken promise (promise, org_id, subject); none is what is right.

    Reads everything, the whole history included: for tests and for a doubt at night.
    """
    found = (await connection.execute(statement("invariants/violations"))).all()
    return [*found, *await conversations(connection)]


async def conversations(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return every broken promise about conversations."""
    return (await connection.execute(statement("invariants/conversations"))).all()
