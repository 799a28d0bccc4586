"""The statements under sql/, by name: `statement("queue/claim")` is sql/queue/claim.sql."""

import json
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


_told = json.JSONEncoder(ensure_ascii=False).encode


def document(value: object) -> str:
    """Return a value as JSON text.

    The encoder is made once: json.dumps makes another for every call that asks for more than ASCII.
    """
    return _told(value)


def column(values: Sequence[Any], nothing: object = None) -> list[Any] | None:
    """Return the values of a column for unnest; None where each of them is nothing.

    The driver looks at every element of every array, and a column that says nothing need not be
    sent: unnest fills it up with NULL, for which the statement has what nothing means.
    """
    told = list(values)
    return None if told.count(nothing) == len(told) else told


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
