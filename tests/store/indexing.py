"""Bringing the index of words up to date at once, where a server takes a moment."""

from crmsync_server.store import search_index
from crmsync_server.store.db import Database


async def index_all(database: Database) -> None:
    """Index all contacts that were written."""
    async with database.everyone() as connection:
        while (await search_index.follow(connection)).statement_count:
            continue
        await search_index.tidy(connection)
