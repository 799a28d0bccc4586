"""Noticing that the database is away."""

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from crmsync_server.store.db import Database
from crmsync_server.sync.pulse import Pulse
from tests.postgres import Postgres, named


async def refuse(postgres: Postgres, url: str, *, refused: bool) -> None:
    """Cut everybody off a database and keep them out, or let them in again."""
    name = named(url)
    admin = await asyncpg.connect(postgres.admin_url)
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not refused}')
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    await admin.execute(cut, name)
    await admin.close()


async def test_a_database_that_goes_and_comes_back_is_told_once_each(postgres: Postgres) -> None:
    """One missed answer is not enough."""
    told: list[bool] = []

    async def tell(there: bool) -> None:  # noqa: FBT001 - that is what is told
        told.append(there)

    async with postgres.database() as url:
        database = Database(url)
        pulse = Pulse(database, tell)
        await pulse.turn()
        await refuse(postgres, url, refused=True)
        await pulse.turn()
        assert told == []
        await pulse.turn()
        await pulse.turn()
        assert told == [False]
        await refuse(postgres, url, refused=False)
        await pulse.turn()
        await pulse.turn()
        assert told == [False, True]
        await database.close()
