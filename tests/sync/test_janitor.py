"""What is past its retention is thrown away, and nothing else."""

from datetime import timedelta

import sqlalchemy as sa

from crmsync_server.store.db import Database
from crmsync_server.sync.janitor import Janitor
from tests.sync.bench import now


async def test_statistics_are_kept_for_two_years(database: Database) -> None:
    """So that a year can be compared with the one before."""
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO sync_hours (org_id, crm, hour, slot)"
                " SELECT 'acme', 'hubspot', now() - make_interval(days => age), 0"
                " FROM unnest(ARRAY[1, 730, 801]) AS age"
            )
        )
    days = timedelta(days=90)
    await Janitor(database, now, attempts_retention=days, sessions_retention=days).turn()
    async with database.everyone() as connection:
        ages = await connection.scalars(
            sa.text(
                "SELECT CAST(date_part('day', now() - hour) AS integer) FROM sync_hours"
                " ORDER BY hour"
            )
        )
        assert list(ages) == [730, 1]


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
    days = timedelta(days=90)
    await Janitor(database, now, attempts_retention=days, sessions_retention=days).turn()
    async with database.everyone() as connection:
        kept = await connection.scalars(sa.text("SELECT key FROM notices ORDER BY key"))
        assert list(kept) == ["0", "7"]
