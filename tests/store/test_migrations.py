"""The migrations make what tables/ says, once, and wall the organizations off."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import migrations
from crmsync_server.store.db import Database
from crmsync_server.store.migrations import Migrated, head, migrate
from crmsync_server.store.tables import schema
from tests.postgres import Postgres

# Each yields a name and a definition, as PostgreSQL itself writes it.
CATALOGUE: Mapping[str, str] = {
    "columns": """
        SELECT relation.relname || '.' || attname,
          concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity,
            regexp_replace(pg_get_expr(adbin, adrelid), '^''(\\d+)''::\\w+$', '\\1'))
        FROM pg_attribute
        JOIN pg_class AS relation ON relation.oid = attrelid AND relation.relkind IN ('r', 'p')
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped AND relation.relname = ANY(:tables)
         """,
    "constraints": """
        SELECT relation.relname || '.' || conname, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint
        JOIN pg_class AS relation ON relation.oid = conrelid
        WHERE contype <> 'n' AND relation.relname = ANY(:tables)""",
    # How full their pages are filled is the migrations' alone, as it is for tables.
    "indexes": """
        SELECT
            relation.relname || '.' || entry.relname,
            regexp_replace(pg_get_indexdef(indexrelid), ' WITH \\(fillfactor=''[0-9]+''\\)', '')
        FROM pg_index
        JOIN pg_class AS relation ON relation.oid = indrelid
        JOIN pg_class AS entry ON entry.oid = indexrelid
        WHERE relation.relname = ANY(:tables)""",
    "partitions": """
        SELECT relation.relname, pg_get_partkeydef(relation.oid)
        FROM pg_class AS relation
        WHERE relkind = 'p' AND relation.relname = ANY(:tables)""",
}

MIGRATE = """
import asyncio, sys
from crmsync_server.store.migrations import migrate
print(asyncio.run(migrate(sys.argv[1])).before)
"""


async def catalogue(connection: AsyncConnection, kind: str) -> dict[str, str]:
    """Read what a database holds of one kind."""
    asked = {"tables": list(schema().tables)}
    rows = await connection.execute(sa.text(CATALOGUE[kind]), asked)
    return {str(name): str(definition) for name, definition in rows}


@pytest.mark.parametrize("kind", CATALOGUE)
async def test_the_migrations_make_what_the_tables_say(
    database: Database, postgres: Postgres, kind: str
) -> None:
    """A change to tables/ without its migration shows here, by name."""
    async with database.everyone() as connection:
        migrated = await catalogue(connection, kind)
    async with postgres.database() as url:
        drawn = Database(url)
        async with drawn.everyone() as connection:
            await connection.run_sync(schema().create_all)
            expected = await catalogue(connection, kind)
        await drawn.close()
    assert expected
    assert migrated == expected


async def test_the_migrations_make_no_other_table(database: Database) -> None:
    """But for Alembic's own, and the partitions."""
    tables = sa.text(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = CAST('public' AS regnamespace)"
    )
    async with database.everyone() as connection:
        assert set(await connection.scalars(tables)) == {*schema().tables, "alembic_version"}


@pytest.mark.parametrize("table", schema().tables.values(), ids=str)
def test_every_key_begins_with_the_organization(table: sa.Table) -> None:
    """So that all of a table's rows, and what they refer to, can live with their organization."""
    unique = [index for index in table.indexes if index.unique]
    keyed = (sa.PrimaryKeyConstraint, sa.UniqueConstraint, sa.ForeignKeyConstraint)
    keys = [key for key in table.constraints if isinstance(key, keyed)]
    assert table.primary_key.columns
    for key in (*keys, *unique):
        assert next(iter(key.columns)).name == "org_id", key.name
    for reference in table.foreign_key_constraints:
        assert next(iter(reference.elements)).column.name == "org_id", reference.name


async def test_every_table_is_walled(database: Database) -> None:
    """Row-level security is enabled, forced and has its policy, on partitions too."""
    unwalled = sa.text(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = CAST('public' AS regnamespace) AND relname <> 'alembic_version'"
        " AND NOT (relrowsecurity AND relforcerowsecurity"
        "  AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid))"
    )
    async with database.everyone() as connection:
        assert list(await connection.scalars(unwalled)) == []


async def test_migrating_again_does_nothing(database_url: str) -> None:
    """A server that finds the newest revision starts at once."""
    assert await migrate(database_url) == Migrated(before=head(), after=head())


async def test_two_servers_migrate_once(postgres: Postgres) -> None:
    """Started at the same instant, one makes the schema and the other finds it made."""
    async with postgres.database() as url:
        found = await asyncio.gather(_migrate_in_a_process(url), _migrate_in_a_process(url))
    assert sorted(found) == [head(), "None"]


async def test_a_newer_database_is_left_alone(database_url: str) -> None:
    """A server that is older than its database refuses it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(CommandError, match="9999"):
        await migrate(database_url)


def test_the_head_is_the_one_that_alembic_knows() -> None:
    """The name of the newest file says what Alembic would say after a long import."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [head()]


async def _migrate_in_a_process(url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MIGRATE, url, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()
