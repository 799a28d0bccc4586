"""Contacts for tests of the queue, told apart by their first name."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact, queue
from crmsync_server.store.claimed import Claimed
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id, new_ids
from crmsync_server.store.states import SessionKind

ORG = "acme"
CRM = "hubspot"
LEASE = timedelta(minutes=1)


async def create(connection: AsyncConnection, org_id: str, text: str, *, email: bool) -> UUID:
    """Add a contact, with an email or without."""
    address = f"{new_id()}@example.com" if email else None
    row = await contact.create(connection, org_id, Content(email=address, first_name=text))
    contact_id: UUID = row.id
    return contact_id


async def edit(connection: AsyncConnection, org_id: str, contact_id: UUID, text: str) -> None:
    """Give a contact other content."""

    def change(before: Content) -> Content:
        return before._replace(first_name=text)

    await contact.update(connection, org_id, contact_id, change)


async def populate(database: Database, count: int, org_id: str = ORG) -> list[UUID]:
    """Add many contacts with an email each, and return their ids in order."""
    ids = new_ids(count)
    async with database.org(org_id) as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO contacts (org_id, id, email, first_name, content_hash)"
                " SELECT :org_id, i.id, i.id || '@example.com', 'a', 'a'"
                " FROM unnest(CAST(:ids AS uuid [])) AS i (id)"
            ),
            {"org_id": org_id, "ids": ids},
        )
    return ids


def order(
    crm: str = CRM,
    *,
    session_id: UUID | None = None,
    high: bool = False,
    force: bool = False,
    removing: bool = False,
) -> queue.Order:
    """Ask for contacts to be queued."""
    return queue.Order(
        crm,
        session_id or new_id(),
        SessionKind.BULK_QUEUE_CONTACTS,
        "tests",
        high=high,
        force=force,
        removing=removing,
    )


async def enqueue(
    connection: AsyncConnection, contact_ids: Sequence[UUID], asked: queue.Order, org_id: str = ORG
) -> UUID:
    """Queue contacts by their ids, and return the session."""
    await queue.enqueue(connection, org_id, queue.Selection(contact_ids), asked)
    return asked.session_id


async def claim(
    connection: AsyncConnection, size: int = 100, org_id: str = ORG, crm: str = CRM
) -> Sequence[Claimed]:
    """Claim as a server does."""
    return await queue.claim(connection, org_id, crm, queue.Terms(size, LEASE, "tests"))
