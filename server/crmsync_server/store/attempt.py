"""The story of one contact: what was asked for, what was tried, and what it waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

MOST_AHEAD = 1000  # how far those ahead in a lane are counted, urgent ones and others each


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a story: right after the entry of this time and key."""

    time: datetime
    key: str


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    contact_id: UUID,
    *,
    crm: str | None,
    size: int,
    after: Spot | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of a contact's story, newest first: attempts, queueings and cancellations.

    crm: only what concerns this one; None means all.
    """
    parameters = {
        "org_id": org_id,
        "contact_id": contact_id,
        "crm": crm,
        "time": after.time if after else None,
        "key": after.key if after else None,
        "size": size,
    }
    return (await connection.execute(statement("attempt/list"), parameters)).all()


async def waiting(
    connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str | None
) -> Sequence[sa.Row[Any]]:
    """Return what holds up a contact, at each CRM where it is queued or being delivered."""
    parameters = {"org_id": org_id, "contact_id": contact_id, "crm": crm, "most": MOST_AHEAD}
    return (await connection.execute(statement("attempt/waiting"), parameters)).all()
