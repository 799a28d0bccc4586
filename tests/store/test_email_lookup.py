"""Contacts are found by email through the index of emails, however young their table is."""

from collections.abc import Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_ids
from tests.store.people import ORG

_BATCH = 200
_GROWTH = (2_000, 4_000, 16_000, 32_000)


@pytest.mark.parametrize("known", ["never looked at", "known to be empty"])
async def test_an_email_is_looked_up_by_its_key_at_any_size_of_the_table(
    database: Database, known: str
) -> None:
    """A planner that knows nothing would take any index of living contacts for as good."""
    async with database.everyone() as connection:
        # Autovacuum must not analyze halfway through.
        await connection.execute(sa.text("ALTER TABLE contacts SET (autovacuum_enabled = false)"))
        if known == "known to be empty":
            await connection.execute(sa.text("ANALYZE contacts"))
    for growth in _GROWTH:
        ids = new_ids(growth)
        async with database.org(ORG) as connection:
            await _add(connection, ids)
        async with database.org(ORG) as connection:
            before = await _read(connection)
            wanted = [f"{one}@example.com" for one in ids[:_BATCH]]
            found = await contact.find(connection, ORG, [*wanted, "nobody@example.com"])
            assert {row.id for row in found} == set(ids[:_BATCH])
            # By its email, and then whole.
            assert await _read(connection) - before <= 3 * len(wanted), growth


async def _add(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    adding = sa.text(
        "INSERT INTO contacts (org_id, id, email, content_hash)"
        " SELECT :org, i, i || '@example.com', 'a' FROM unnest(CAST(:ids AS uuid [])) AS i"
    )
    await connection.execute(adding, {"org": ORG, "ids": ids})


async def _read(connection: AsyncConnection) -> int:
    """Return how many contacts this connection has read since it last told the statistics."""
    reading = sa.text(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0)"
        " FROM pg_stat_xact_user_tables WHERE relname = 'contacts'"
    )
    return int(await connection.scalar(reading) or 0)
