"""The pool of connections, and the transactions that the rest of the store runs in.

Every transaction sees the rows of one organization, or of all of them; row-level security holds
it to that, by a setting that ends with the transaction. Nothing is left on the connection, so a
PgBouncer in transaction mode may stand in between.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

EVERYONE = "*"
_OLDEST = 300  # seconds after which a connection is made anew

_BY_INDEX = "".join(
    f"; SET LOCAL enable_{way} = off" for way in ("seqscan", "bitmapscan", "hashjoin")
)

# What a statement raises when it fails, or the database is away.
# A connection that was cut in the wrong moment is a muddle to the driver: InternalClientError.
_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
FAULTS = (sa.exc.SQLAlchemyError, *_DRIVER)


class TransactionAbortedError(RuntimeError):
    """A statement failed, its error was swallowed, and so nothing could be committed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How connections are kept.

    Attributes:
        size: connections kept open.
        overflow: connections opened beyond that when all are busy, and closed after use.
        timeout: seconds to wait for a connection before sqlalchemy.exc.TimeoutError.
        patience: seconds to wait for the answer to a statement before TimeoutError; a connection
            that went silent must not be waited for without end.
        prepared_statements: whether statements stay prepared on a connection; a PgBouncer in
            transaction mode needs them off.
    """

    size: int = 10
    overflow: int = 10
    timeout: float = 30.0
    patience: float = 120.0
    prepared_statements: bool = True


class _Driver(Protocol):
    """The part of asyncpg.Connection that opens and closes transactions."""

    async def execute(self, query: str) -> str: ...

    def terminate(self) -> None: ...


class Database:
    """One Postgres, as one process uses it. The caller that builds it closes it."""

    def __init__(self, url: str, pool: Pool | None = None) -> None:
        """Prepare the pool; nothing is connected yet.

        Args:
            url: as libpq and asyncpg know it, `postgresql://user:password@host:port/database`.
            pool: how connections are kept.
        """
        self._engine = _engine(url, pool or Pool())

    @asynccontextmanager
    async def org(self, org_id: str, *, by_index: bool = False) -> AsyncIterator[AsyncConnection]:
        """Run one transaction that sees the rows of this organization alone.

        It commits at the end of the block, and rolls back when the block raises.

        Args:
            org_id: the organization.
            by_index: whether rows are to be found through an index wherever there is one, for
                statements that lock rows in the order in which they find them.

        Raises:
            ValueError: not an organization's id.
            TransactionAbortedError: the block swallowed the error of a statement.
        """
        if org_id in {"", EVERYONE} or "\0" in org_id:
            message = f"no organization is called {org_id!r}"
            raise ValueError(message)
        async with self._transaction(org_id, _BY_INDEX if by_index else "") as connection:
            yield connection

    @asynccontextmanager
    async def everyone(self) -> AsyncIterator[AsyncConnection]:
        """Run one transaction over all organizations: for the engine's duties, never for a caller.

        Raises:
            TransactionAbortedError: the block swallowed the error of a statement.
        """
        async with self._transaction(EVERYONE) as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection that is not in use; the others close when they are given back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, org_id: str, settings: str = "") -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection:
            # One round trip for all. `execute` without arguments is the simple protocol, which
            # takes several statements and no parameters.
            begin = f"BEGIN; SET LOCAL crmsync.org_id = {_literal(org_id)}{settings}"
            driver = await _begun(connection, begin)
            try:
                yield connection
                await _commit(driver)
            except BaseException:
                await _roll_back(connection, driver)
                raise


def _engine(url: str, pool: Pool) -> AsyncEngine:
    # SQLAlchemy is told that it autocommits, so that it leaves BEGIN and COMMIT to this module.
    unnamed: dict[str, Any] = {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }
    # The driver reads the URL itself: it knows every parameter that libpq does.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"dsn": url, "command_timeout": pool.patience}
        | ({} if pool.prepared_statements else unnamed),
        isolation_level="AUTOCOMMIT",
        json_deserializer=_document,
        pool_size=pool.size,
        max_overflow=pool.overflow,
        pool_timeout=pool.timeout,
        pool_reset_on_return=None,
        # The one that was used last has its plans and catalogs at hand.
        pool_use_lifo=True,
        # Those that are seldom used would be dropped by a balancer in between, without a word.
        pool_recycle=_OLDEST,
    )
    sa.event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _document(text: str) -> Any:  # noqa: ANN401 - whatever a column of JSON holds
    """Read a column of JSON; most properties are empty, and parsing that takes most of it."""
    return {} if text == "{}" else json.loads(text)


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - SQLAlchemy's
    # Postgres restarted: the pool then drops all it holds and connects anew. Costs no round trip.
    if connection.driver_connection.is_closed():
        raise sa.exc.InvalidatePoolError


async def _begun(connection: AsyncConnection, begin: str) -> _Driver:
    """Begin a transaction, on a new connection when the pool's was cut while nobody used it."""
    driver = await _driver(connection)
    try:
        await driver.execute(begin)
    except BaseException as error:
        await _drop(connection, driver)
        if not isinstance(error, _DRIVER):
            raise
        driver = await _driver(connection)
        try:
            await driver.execute(begin)
        except BaseException:
            await _drop(connection, driver)
            raise
    return driver


async def _drop(connection: AsyncConnection, driver: _Driver) -> None:
    # Terminated first: invalidating alone would wait seconds for a lost server to say goodbye.
    driver.terminate()
    await connection.invalidate()


async def _driver(connection: AsyncConnection) -> _Driver:
    raw = await connection.get_raw_connection()
    return cast("_Driver", raw.driver_connection)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def _commit(driver: _Driver) -> None:
    # COMMIT of an aborted transaction is no error to Postgres: it answers ROLLBACK.
    if await driver.execute("COMMIT") != "COMMIT":
        raise TransactionAbortedError


async def _roll_back(connection: AsyncConnection, driver: _Driver) -> None:
    try:
        await driver.execute("ROLLBACK")
    except BaseException as error:
        # Nobody may have a connection in an unknown state.
        await _drop(connection, driver)
        if not isinstance(error, _DRIVER):
            raise
