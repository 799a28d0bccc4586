"""The transactions of the store, and what row-level security lets them see."""

import asyncio
import json
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.db import Database, TransactionAbortedError
from tests.postgres import Postgres


async def pause_lane(connection: AsyncConnection, org_id: str) -> None:
    """Write one row."""
    await connection.execute(
        sa.text("INSERT INTO lanes (org_id, crm) VALUES (:org_id, 'hubspot')"), {"org_id": org_id}
    )


async def organizations(connection: AsyncConnection) -> list[str]:
    """Read the organizations that a transaction can see."""
    found = await connection.scalars(sa.text("SELECT org_id FROM lanes ORDER BY org_id"))
    return list(found)


async def backend(connection: AsyncConnection) -> int:
    """Return the process that serves this connection."""
    return int(await connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


async def test_a_transaction_sees_its_organization_alone(database: Database) -> None:
    """What two organizations wrote, each reads its own of."""
    for org_id in ("acme", "o'neil"):
        async with database.org(org_id) as connection:
            await pause_lane(connection, org_id)
    async with database.org("o'neil") as connection:
        assert await organizations(connection) == ["o'neil"]
    async with database.everyone() as connection:
        assert await organizations(connection) == ["acme", "o'neil"]


async def test_a_transaction_that_names_nobody_sees_nothing(
    database: Database, database_url: str
) -> None:
    """The owner of the tables is held to its policies too: FORCE ROW LEVEL SECURITY."""
    async with database.org("acme") as connection:
        await pause_lane(connection, "acme")
    plain = await asyncpg.connect(database_url)
    try:
        assert await plain.fetchval("SELECT count(*) FROM lanes") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute("INSERT INTO lanes (org_id, crm) VALUES ('acme', 'brevo')")
    finally:
        await plain.close()


async def test_nothing_is_written_for_another_organization(database: Database) -> None:
    """A row of somebody else is refused, whatever the statement says."""
    with pytest.raises(sa.exc.DBAPIError, match="row-level security"):
        async with database.org("acme") as connection:
            await pause_lane(connection, "globex")


@pytest.mark.parametrize("org_id", ["", "*", "a\0b"])
async def test_no_organization_can_pass_for_all_of_them(database: Database, org_id: str) -> None:
    """The name that opens every row is not an organization's to take."""
    with pytest.raises(ValueError, match="no organization"):
        async with database.org(org_id):
            pass


async def test_an_error_rolls_its_transaction_back(database: Database) -> None:
    """What came before the error is gone, and the connection serves the next one."""

    async def write_and_fail() -> None:
        async with database.org("acme") as connection:
            await pause_lane(connection, "acme")
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()
    async with database.everyone() as connection:
        assert await organizations(connection) == []


async def test_a_swallowed_error_does_not_pass_for_a_commit(database: Database) -> None:
    """Postgres answers the COMMIT of an aborted transaction with a friendly ROLLBACK."""

    async def write_twice() -> None:
        async with database.org("acme") as connection:
            await pause_lane(connection, "acme")
            with suppress(sa.exc.IntegrityError):
                await pause_lane(connection, "acme")

    with pytest.raises(TransactionAbortedError):
        await write_twice()


async def test_a_cancelled_transaction_is_rolled_back(database: Database) -> None:
    """A connection that was cut off in the middle never carries its work to the next user."""
    begun = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.org("acme") as connection:
            await pause_lane(connection, "acme")
            begun.set()
            await connection.execute(sa.text("SELECT pg_sleep(60)"))

    writing = asyncio.create_task(write_and_wait())
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    async with database.everyone() as connection:
        assert await organizations(connection) == []


async def test_connections_that_were_cut_are_replaced(
    database: Database, postgres: Postgres
) -> None:
    """After a restart of Postgres the next transaction finds a living connection."""
    async with database.everyone() as one, database.everyone() as other:
        pids = [await backend(one), await backend(other)]
    admin = await asyncpg.connect(postgres.admin_url)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
    await admin.close()

    # Both of the pool's at once, and without a failure in between.
    async with database.everyone() as one, database.everyone() as other:
        assert not {await backend(one), await backend(other)} & set(pids)


async def test_json_comes_out_as_objects(database: Database) -> None:
    """A jsonb column is read as what it holds, and written as text."""
    value = {"name": "Zoë", "tags": ["a", None, 1.5]}
    async with database.everyone() as connection:
        asked = sa.text("SELECT CAST(:value AS jsonb)")
        assert await connection.scalar(asked, {"value": json.dumps(value)}) == value
