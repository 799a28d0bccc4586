"""What is past its retention is thrown away, and nothing else."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from crmsync_server.store.db import Database
from crmsync_server.sync.janitor import Janitor
from tests.sync.bench import now

_TABLES = ("sync_hours", "error_hours", "read_hours")


def janitor(database: Database) -> Janitor:
    """Return a janitor with the retentions that a server has by itself."""
    days = timedelta(days=90)
    return Janitor(
        database,
        now,
        attempts_retention=days,
        sessions_retention=days,
        statistics_retention=timedelta(days=400),
    )


@pytest.mark.parametrize("table", _TABLES)
async def test_statistics_are_kept_for_their_retention(database: Database, table: str) -> None:
    """Their hours are folded into one row each before, whatever slots they were written to."""
    code = "'RATE_LIMIT'" if table == "error_hours" else ""
    insert = f"""
        INSERT INTO {table} (org_id, crm, hour, slot{", code" if code else ""})
        SELECT
            'acme', 'hubspot', date_trunc('hour', now() - make_interval(days => age), 'UTC'), slot
            {", " + code if code else ""}
        FROM unnest(ARRAY[0, 1, 399, 401]) AS age, unnest(ARRAY[0, 7]) AS slot
    """  # noqa: S608 - of the test's own
    async with database.everyone() as connection:
        await connection.execute(sa.text(insert))
    await janitor(database).turn()
    read = f"SELECT date_part('day', now() - hour), slot FROM {table} ORDER BY hour, slot"  # noqa: S608 - likewise
    async with database.everyone() as connection:
        kept = [(int(age), slot) for age, slot in await connection.execute(sa.text(read))]
    assert kept == [(399, -1), (1, -1), (0, 0), (0, 7)]


async def test_notices_are_kept_for_eight_days_after_they_were_seen_to(database: Database) -> None:
    """No CRM sends a webhook again later than that; what waits is kept however old it is."""
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO notices (org_id, crm, key, kind, email, receive_time, done_time)"
                " SELECT 'acme', 'brevo', coalesce(age, 0), 'CHANGED', 'ada@example.com',"
                "  now() - interval '1 year', now() - make_interval(days => age)"
                " FROM unnest(ARRAY[7, 9, NULL]) AS age"
            )
        )
    await janitor(database).turn()
    async with database.everyone() as connection:
        kept = await connection.scalars(sa.text("SELECT key FROM notices ORDER BY key"))
        assert list(kept) == ["0", "7"]
