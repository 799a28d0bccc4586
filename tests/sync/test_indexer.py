"""The indexer: it follows what is written, and makes way for it."""

from datetime import timedelta

import sqlalchemy as sa

from crmsync_server.store.db import Database
from crmsync_server.store.search_index import tail
from crmsync_server.sync.indexer import Indexer
from tests.store.people import ORG, create

_WRITTEN = 600  # statements; a turn takes 500


async def test_an_indexer_makes_way_for_those_who_write(database: Database) -> None:
    """It rests after a turn while contacts are written, and not when that was before."""
    await _write(database)
    indexer = Indexer(database)
    await _say(database, timedelta(minutes=1))
    assert await indexer.turn() > 0.0
    await _say(database, timedelta(minutes=-1))
    assert await indexer.turn() == 0.0


async def test_an_indexer_leaves_nothing_unindexed(database: Database) -> None:
    """However many turns it takes, it looks again in a second only when nothing is left."""
    await _write(database)
    indexer = Indexer(database)
    turns = [await indexer.turn() for _ in range(3)]
    assert turns[-1] == 1.0
    async with database.org(ORG) as connection:
        assert await tail(connection, ORG) == ((), 0)


async def _say(database: Database, later: timedelta) -> None:
    """Say that all that is left was written so much later than now."""
    async with database.org(ORG) as connection:
        await connection.execute(
            sa.text("UPDATE unindexed_contacts SET create_time = now() + :later"), {"later": later}
        )


async def _write(database: Database) -> None:
    async with database.org(ORG) as connection:
        for _ in range(_WRITTEN):
            await create(connection, ORG, "written", email=True)
