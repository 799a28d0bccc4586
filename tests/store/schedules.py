"""Schedules for tests that wait for one."""

import sqlalchemy as sa

from crmsync_server.store.db import Database


async def make_due(database_url: str) -> None:
    """Let the time pass until every schedule is due."""
    database = Database(database_url)
    try:
        async with database.everyone() as connection:
            text = "UPDATE schedules SET next_run_time = now() - interval '1 second'"
            await connection.execute(sa.text(text))
    finally:
        await database.close()
