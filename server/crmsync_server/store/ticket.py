"""Tickets: what CRMs took in for later, and the deliveries that are held until it is settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.claimed import Claimed
from crmsync_server.store.statements import statement


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a CRM gave for deliveries that it accepted for later.

    check_time: when to ask; lease: how long the deliveries stay held at most.
    """

    name: str
    check_time: datetime
    lease: timedelta


async def hold(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    accepted: Sequence[tuple[UUID, int]],
    ticket: Ticket,
) -> None:
    """Keep accepted deliveries (contact id, attempt) under their ticket until it is settled."""
    await connection.execute(
        statement("ticket/hold"),
        {
            "org_id": org_id,
            "crm": crm,
            "contact_ids": [contact_id for contact_id, _ in accepted],
            "attempts": [attempt for _, attempt in accepted],
            "ticket": ticket.name,
            "check_time": ticket.check_time,
            "clock": datetime.now(UTC),
            "lease": ticket.lease,
        },
    )


async def due_lanes(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return every lane with a ticket: org_id, crm, wait_seconds until it is to be settled."""
    return (await connection.execute(statement("ticket/due_lanes"))).all()


async def claim(
    connection: AsyncConnection, org_id: str, crm: str, *, lease: timedelta
) -> str | None:
    """Take a lane's ticket that is due, for as long as the lease; None when there is none."""
    parameters = {"org_id": org_id, "crm": crm, "lease": lease}
    taken = await connection.execute(statement("ticket/claim"), parameters)
    ticket: str | None = taken.scalar_one_or_none()
    return ticket


async def held(
    connection: AsyncConnection, org_id: str, crm: str, ticket: str
) -> Sequence[Claimed]:
    """Return the deliveries held under a ticket, in the shape of claim."""
    parameters = {"org_id": org_id, "crm": crm, "ticket": ticket}
    rows = await connection.execute(statement("ticket/held"), parameters)
    return [Claimed._make(row) for row in rows]


async def renew(
    connection: AsyncConnection, org_id: str, crm: str, ticket: str, lease: timedelta
) -> None:
    """Prolong the lease under which a ticket is being asked about."""
    parameters = {"org_id": org_id, "crm": crm, "ticket": ticket, "lease": lease}
    await connection.execute(statement("ticket/renew"), parameters)


async def drop(connection: AsyncConnection, org_id: str, crm: str, ticket: str) -> None:
    """Forget a ticket, unless something is still held under it."""
    parameters = {"org_id": org_id, "crm": crm, "ticket": ticket}
    await connection.execute(statement("ticket/drop"), parameters)
