"""The runs' duty when there is nothing to run."""

from crmsync_server.store import run
from crmsync_server.store.db import Database


async def test_without_a_run_nothing_is_due(database: Database) -> None:
    """Nothing, not at once: a server with nothing to do would ask a hundred times a second."""
    async with database.everyone() as connection:
        assert await run.next_due(connection) is None
