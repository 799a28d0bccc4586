"""What forecasts of sessions read: how much is queued with them, and how fast their lanes go."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def outlooks(
    connection: AsyncConnection, sessions: Sequence[tuple[str, UUID]]
) -> Sequence[sa.Row[Any]]:
    """Return what is known of sessions (organization, id) that have not ended.

    Each with org_id, id, crm; pending, its own items; open, all that is queued at its CRM; later,
    what of that was queued by sessions opened after it; records_per_second, None before anything
    is measured; stopped, whether the lane is paused without an end; paused_seconds, until a pause
    ends, None without one.
    """
    parameters = {
        "org_ids": [org_id for org_id, _ in sessions],
        "session_ids": [session_id for _, session_id in sessions],
    }
    return (await connection.execute(statement("forecast/outlooks"), parameters)).all()
