"""Standings: how one contact is in step with the CRMs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import queue
from crmsync_server.store.statements import statement


async def list(  # noqa: A001 - named like its statement; nobody imports it bare
    connection: AsyncConnection, org_id: str, contact_id: UUID
) -> Sequence[sa.Row[Any]]:
    """Return how a contact stands at every CRM it was ever selected for, each with its email.

    One row with an empty crm when it was never selected; none when there is no such contact.
    """
    parameters = {"org_id": org_id, "contact_id": contact_id}
    return (await connection.execute(statement("standing/list"), parameters)).all()


async def get(connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str) -> sa.Row[Any]:
    """Return how a contact stands at a CRM that it was selected for."""
    parameters = {"org_id": org_id, "contact_id": contact_id, "crm": crm}
    return (await connection.execute(statement("standing/get"), parameters)).one()


async def find(
    connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str
) -> sa.Row[Any] | None:
    """Return how a contact stands at a CRM; None when it was never selected for it."""
    parameters = {"org_id": org_id, "contact_id": contact_id, "crm": crm}
    return (await connection.execute(statement("standing/get"), parameters)).one_or_none()


async def cancel(
    connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str
) -> Sequence[UUID] | None:
    """Take a contact out of a CRM's queue; return the sessions that moved.

    None when it is neither queued nor being delivered; nothing is changed then.
    """
    await queue.lock(connection, org_id, crm, [contact_id])
    parameters = {"org_id": org_id, "contact_id": contact_id, "crm": crm, "slot": queue.slot()}
    row = (await connection.execute(statement("standing/cancel"), parameters)).one_or_none()
    return None if row is None else row.session_ids or ()
