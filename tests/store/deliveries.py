"""Deliveries that end, for tests of the history."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import queue
from crmsync_server.store.claimed import Claimed
from crmsync_server.store.db import Database
from crmsync_server.store.queue import Finished
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.store import people
from tests.store.people import CRM, ORG


async def claimed(
    database: Database, count: int = 1, org_id: str = ORG, crm: str = CRM
) -> Sequence[Claimed]:
    """Add contacts, queue them and claim them."""
    ids = await people.populate(database, count, org_id)
    async with database.org(org_id) as connection:
        await people.enqueue(connection, ids, people.order(crm), org_id)
    async with database.org(org_id) as connection:
        return await people.claim(connection, count, org_id, crm)


async def finish(
    connection: AsyncConnection, rows: Sequence[Claimed], org_id: str = ORG, crm: str = CRM
) -> None:
    """End deliveries well."""
    ended = [
        Finished(
            row.contact_id,
            row.attempt,
            SyncStatus.COMPLETE,
            AttemptOutcome.SYNCED,
            crm_contact_id="1",
        )
        for row in rows
    ]
    receipt = await queue.finish(connection, org_id, crm, ended)
    assert receipt.finished == len(rows)


async def deliver(
    database: Database, count: int = 1, org_id: str = ORG, crm: str = CRM
) -> list[UUID]:
    """Have new contacts delivered; return their ids in the order of their events."""
    rows = await claimed(database, count, org_id, crm)
    async with database.org(org_id) as connection:
        await finish(connection, rows, org_id, crm)
    return sorted(row.contact_id for row in rows)


async def take_id(connection: AsyncConnection) -> int:
    """Give a transaction its id, as its first writing would."""
    text = "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
    taken: int = await connection.scalar(sa.text(text))
    return taken
