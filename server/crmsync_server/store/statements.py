"""The statements under sql/, by name: `statement("queue/claim")` is sql/queue/claim.sql."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection


@cache
def statement(name: str) -> sa.TextClause:
    """Return one statement, its parameters written `:like_this`.

    Args:
        name: folder and file under sql/, without the suffix; the folder is the store module that
            runs it and the file is the function that does.

    Raises:
        FileNotFoundError: no such file.
    """
    path = resources.files("crmsync_server.store") / "sql" / f"{name}.sql"
    return sa.text(path.read_text(encoding="utf-8"))


async def fetch(
    connection: AsyncConnection, name: str, parameters: Mapping[str, object]
) -> Sequence[Sequence[Any]]:
    """Run a statement and return the driver's own rows, read by position.

    For what returns many rows for every delivery: by way of SQLAlchemy each costs 2 us more.

    Raises:
        asyncpg.PostgresError: the statement failed.
    """
    text, order = _positional(name)
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    rows: Sequence[Sequence[Any]] = await driver.fetch(text, *(parameters[one] for one in order))
    return rows


@cache
def _positional(name: str) -> tuple[str, Sequence[str]]:
    """Return a statement as the driver takes it, and the order of its parameters."""
    dialect: Any = asyncpg.dialect  # its stubs leave it untyped
    compiled: Any = statement(name).compile(dialect=dialect())
    return compiled.string, compiled.positiontup
