"""Bringing a database to the schema of this version: `migrate`.

The revisions are in versions/, each an SQL file with the Alembic module of the same name, which
runs it. No alembic.ini is needed, by anybody.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_HERE = Path(__file__).parent
_LOCK = 0x63726D73796E6301  # "crmsync" and a number, so that no other program takes the same


@dataclass(frozen=True, slots=True)
class Migrated:
    """What `migrate` found and left: Alembic revisions, None for an empty database."""

    before: str | None
    after: str


async def migrate(url: str) -> Migrated:
    """Apply every revision that the database lacks, all in one transaction.

    Whoever comes second waits for the first and finds nothing to do.

    Args:
        url: as `Database` takes it; a PgBouncer in transaction mode will do.

    Raises:
        alembic.util.CommandError: the database has a revision that this version does not know.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={
            "dsn": url,
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,
        },
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = await connection.run_sync(_revision)
        if before != head():
            await connection.run_sync(_upgrade)
    return Migrated(before, head())


def head() -> str:
    """Return the newest revision: the number that begins the last file's name."""
    return max(path.name for path in _HERE.glob("versions/[0-9]*.py")).partition("_")[0]


def run_script(connection: sa.Connection, script: Path) -> None:
    """Run a file of many statements in one round trip; for the revisions."""
    text = script.read_text(encoding="utf-8")
    adapted: Any = connection.connection.dbapi_connection
    # Asking for the driver's own connection, which alone takes many statements at once. BEGIN has
    # been sent by then: `migrate` read the revision.
    adapted.run_async(lambda driver: driver.execute(text))


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _upgrade(connection: sa.Connection) -> None:
    # Alembic takes a third of a second to import; a server whose database is ready needs none.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
