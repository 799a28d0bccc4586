"""Reading all that a search finds, as it was at one instant, a few rows at a time."""

from collections.abc import AsyncGenerator, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from crmsync_server.store import search
from crmsync_server.store.filter_fields import bare_columns
from crmsync_server.store.ids import new_id
from crmsync_server.store.search_query import Matching, Query
from crmsync_server.store.statements import statement
from crmsync_server.store.tables import schema

Row = Sequence[str | None]

_TEXTS = ("email", "name", "first_name", "last_name", "phone", "company")
_NUMBERS = frozenset({"unread_count", "version"})
_TIMES = frozenset({"last_message_time", "create_time", "update_time"})
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
COLUMNS = (
    *("id", *_TEXTS, "tags", "notes", "avatar", "domain_id", "properties"),
    *("unread_count", "last_message_time", "version", "create_time", "update_time"),
)
PROPERTY = "properties."
STANDING = "sync."

_SIZES = (1000, 100, 10, 1)
_FIRST = 100
_BUDGET = 1_000_000  # characters


class Cell(NamedTuple):
    """A column of an export.

    is_json: whether its values are JSON as they are.
    """

    name: str
    is_json: bool = False


async def begin(connection: AsyncConnection, query: Query) -> tuple[Matching, int]:
    """Fix the instant, and return what is looked for and how many contacts match, exactly.

    The transaction is a new one. Whoever reads nothing for five minutes loses it: it keeps what
    others delete from being cleared away.
    """
    await connection.execute(statement("export/begin"))
    await patience(connection)
    matching = await search.prepare(connection, query)
    return matching, await search.count(connection, matching)


async def patience(connection: AsyncConnection) -> None:
    """Let the database end this transaction when nothing is read from it for fifteen minutes."""
    await connection.execute(statement("export/patience"))


def cells(columns: Sequence[str], *, as_json: bool) -> Sequence[Cell]:
    """Return the columns of these names; as_json: as parts of JSON objects."""
    return [Cell(name, as_json and _is_json(name)) for name in columns]


async def rows(
    connection: AsyncConnection, matching: Matching, columns: Sequence[Cell]
) -> AsyncGenerator[Sequence[Row]]:
    """Yield all that match, in order, each as the texts of the columns; None where there is none.

    So many at a time as make about a megabyte, and at most a thousand.
    """
    # A name of its own: the driver remembers a statement with the columns that it returned.
    cursor = f"exported_{new_id().hex}"
    await connection.execute(_Declare(cursor, _selected(matching, columns)))
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    size = _FIRST
    while batch := await driver.fetch(f"FETCH FORWARD {size} FROM {cursor}"):
        yield batch
        width = sum(len(cell or "") for row in batch[:_FIRST] for cell in row)
        average = width // min(len(batch), _FIRST) + 1
        size = next(one for one in _SIZES if one * average <= _BUDGET or one == 1)


class _Declare(Executable, ClauseElement):
    """A cursor over a query, whose values stay parameters."""

    inherit_cache = False

    def __init__(self, name: str, query: sa.Select[Any]) -> None:
        self.name = name
        self.query = query


@compiles(_Declare)
def _declare(element: _Declare, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    query = compiler.process(element.query, **options)
    return f"DECLARE {element.name} NO SCROLL CURSOR FOR {query}"


def _is_json(name: str) -> bool:
    return name in {"tags", "properties"} or name in _NUMBERS


def _selected(matching: Matching, columns: Sequence[Cell]) -> sa.Select[Any]:
    told = [_text(cell).label(f"cell_{place}") for place, cell in enumerate(columns)]
    return matching.exported(told)


def _text(cell: Cell) -> sa.ColumnElement[Any]:
    """Return a column as text."""
    name, c = cell.name, bare_columns()
    if name in _TIMES:
        return sa.func.to_char(sa.func.timezone("UTC", c[name]), _TIME)
    if name == "tags":
        as_text = sa.func.array_to_string(c.tags, ", ")
        return sa.cast(sa.func.to_json(c.tags), sa.Text) if cell.is_json else as_text
    if name.startswith(PROPERTY):
        return c.properties.op("->>", return_type=sa.Text())(name.removeprefix(PROPERTY))
    if name.startswith(STANDING):
        return _standing(name.removeprefix(STANDING))
    return sa.cast(c[name], sa.Text)


def _standing(crm: str) -> sa.ColumnElement[Any]:
    c, standings = bare_columns(), _standings().alias("cs")
    return (
        sa.select(standings.c.sync_status)
        .where(
            standings.c.org_id == c.org_id,
            standings.c.contact_id == c.id,
            standings.c.crm == crm,
        )
        .scalar_subquery()
    )


@cache
def _standings() -> sa.Table:
    return schema().tables["contact_syncs"]
