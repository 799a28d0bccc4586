"""What a deleted contact was found by is kept nowhere, whoever indexes it meanwhile."""

import asyncio

import sqlalchemy as sa

from crmsync_server.store import contact
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.store.indexing import index_all
from tests.store.people import ORG, create

_TERMS = sa.text("SELECT CAST(terms AS text) FROM contact_terms WHERE org_id = :org")


async def test_a_contact_that_is_deleted_while_it_is_indexed_leaves_no_word(
    database: Database,
) -> None:
    """The one who indexes has read it before it was deleted, and writes after that."""
    async with database.org(ORG) as connection:
        contact_id = await create(connection, ORG, "Rosalind", email=True)
    async with asyncio.TaskGroup() as group, database.org(ORG) as holding:
        # Both wait for this row, the one who indexes first.
        await holding.execute(
            sa.text("INSERT INTO contact_terms VALUES (:org, :id, 0, '')"),
            {"org": ORG, "id": contact_id},
        )
        group.create_task(index_all(database))
        await eventually(lambda: _waiting(database, 1))

        async def delete() -> None:
            async with database.org(ORG) as connection:
                await contact.delete(connection, ORG, contact_id)

        group.create_task(delete())
        await eventually(lambda: _waiting(database, 2))
    async with database.org(ORG) as connection:
        assert list(await connection.scalars(_TERMS, {"org": ORG})) == [""]


async def test_a_contact_that_was_deleted_before_it_was_indexed_leaves_no_word(
    database: Database,
) -> None:
    """And one that was indexed before neither."""
    for indexed_before in (False, True):
        async with database.org(ORG) as connection:
            contact_id = await create(connection, ORG, "Rosalind", email=True)
        if indexed_before:
            await index_all(database)
        async with database.org(ORG) as connection:
            await contact.delete(connection, ORG, contact_id)
        await index_all(database)
        async with database.org(ORG) as connection:
            assert set(await connection.scalars(_TERMS, {"org": ORG})) == {""}


async def _waiting(database: Database, count: int) -> None:
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with database.everyone() as connection:
        assert await connection.scalar(waiting) == count
