"""Rotation: everything ends up under the current key, and nobody's change is overwritten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
import structlog

from crmsync_server.store import connection, connection_token
from crmsync_server.store.connection_token import ACCESS, REFRESH, Bearer, Sealed
from crmsync_server.store.db import Database
from crmsync_server.store.vault import Account, Vault
from crmsync_server.sync.rotation import Rotation
from tests.store import accounts
from tests.store.people import ORG

SOON = datetime(2100, 1, 1, tzinfo=UTC)


async def rotate(database: Database, *key_ids: str, batch: int = 2) -> None:
    """Let a rotation with these keys take one turn."""
    await Rotation(database, accounts.vault(*key_ids), batch).turn()


async def keys(database: Database) -> set[str]:
    """Return the keys in use."""
    async with database.everyone() as transaction:
        return await connection.key_ids(transaction)


async def keep_token(database: Database, row: sa.Row[Any], vault: Vault) -> Bearer:
    """Keep a token for a connection."""
    bearer, owner = Bearer(row.org_id, row.id, row.credentials_version), uuid4()
    account = Account(row.org_id, row.id)
    sealed = Sealed(
        vault.current_key(),
        vault.seal(account.token(ACCESS), "access"),
        vault.seal(account.token(REFRESH), "refresh"),
        SOON,
    )
    async with database.org(row.org_id) as transaction:
        minute = timedelta(minutes=1)
        await connection_token.lease(transaction, bearer, owner, renewals=0, lease=minute)
        assert await connection_token.write(transaction, bearer, owner, sealed)
    return bearer


async def test_everything_moves_to_the_current_key(database: Database) -> None:
    """Of all organizations, in as many batches as it takes; the texts stay the same."""
    rows = [await accounts.create(database, org_id=f"org-{number}") for number in range(5)]
    bearer = await keep_token(database, rows[0], accounts.vault("one"))
    await rotate(database, "two", "one")
    assert await keys(database) == {"two"}
    for row in rows:
        assert await accounts.opened(database, row, accounts.vault("two")) == accounts.SECRETS
    async with database.org(bearer.org_id) as transaction:
        token = await connection_token.get(transaction, bearer)
    assert token is not None
    place = Account(bearer.org_id, bearer.connection_id).token(REFRESH)
    assert accounts.vault("two").open(place, "two", token.refresh_token) == "refresh"


async def test_a_rotation_is_no_change_of_the_connection(database: Database) -> None:
    """Its version stays, so that nobody builds his adapter anew."""
    row = await accounts.create(database)
    await rotate(database, "two", "one")
    async with database.org(ORG) as transaction:
        after = await connection.get(transaction, ORG, row.id)
    assert (after.version, after.update_time) == (row.version, row.update_time)
    assert after.key_id == "two"


async def test_what_is_replaced_meanwhile_is_not_overwritten(database: Database) -> None:
    """The old secrets never come back in place of the new ones."""
    row = await accounts.create(database)
    async with database.org(ORG) as transaction:
        old = await connection.secrets(transaction, ORG, row.id)
        change = (row.id, 0, lambda _: replace(accounts.DRAFT, secrets={"username": "new"}))
        await connection.update(transaction, ORG, change, accounts.vault("one"))
        late = connection.Rekeyed(row, "two", old)
        assert not await connection.rekey(transaction, late)
    assert await accounts.opened(database, row) == {"username": "new"}


async def test_a_connection_that_is_being_changed_is_left_alone(database: Database) -> None:
    """The rotation does not wait for it, and finds it the next time."""
    await accounts.create(database)
    other = await accounts.create(database, "brevo")
    async with database.org(ORG) as transaction:
        await connection.lock(transaction, ORG, other.id)
        await rotate(database, "two", "one")
        assert await keys(database) == {"one", "two"}
    await rotate(database, "two", "one")
    assert await keys(database) == {"two"}


async def test_one_replica_rotates_at_a_time(database: Database) -> None:
    """The others leave it to it."""
    await accounts.create(database)
    async with database.everyone() as transaction:
        assert await connection.begin_rotation(transaction)
        await rotate(database, "two", "one")
        assert await keys(database) == {"one"}
    await rotate(database, "two", "one")
    assert await keys(database) == {"two"}


async def test_an_unknown_key_is_named_and_holds_up_nothing_else(database: Database) -> None:
    """What is under it stays as it is."""
    await accounts.create(database, kept=accounts.vault("lost"))
    await accounts.create(database, "brevo", kept=accounts.vault("one"))
    with structlog.testing.capture_logs() as logs:
        await rotate(database, "two", "one")
    assert await keys(database) == {"lost", "two"}
    assert [line["key_ids"] for line in logs if "key_ids" in line] == [["lost"]]


@pytest.mark.parametrize("batch", [1, 50])
async def test_what_is_damaged_is_named_and_holds_up_nothing_else(
    database: Database, batch: int
) -> None:
    """Neither for ever nor at all."""
    broken = await accounts.create(database)
    await accounts.create(database, "n8n")
    damage = "UPDATE connection_secrets SET sealed = 'x' WHERE connection_id = :id"
    async with database.org(ORG) as transaction:
        await transaction.execute(sa.text(damage), {"id": broken.id})
    with structlog.testing.capture_logs() as logs:
        await rotate(database, "two", "one", batch=batch)
    assert await keys(database) == {"one", "two"}
    assert [str(broken.id) in line["why"] for line in logs if "why" in line] == [True]


async def test_without_connections_no_key_is_needed(database: Database) -> None:
    """A server that has none makes no file of keys."""

    class NoKeys:
        """Keys that nobody may ask for."""

        def current(self) -> None:
            """Fail."""
            raise AssertionError

        find = current

    await Rotation(database, Vault(NoKeys())).turn()  # type: ignore[arg-type]  # as it says


async def test_tokens_of_replaced_credentials_are_thrown_away(database: Database) -> None:
    """And those of deleted connections; the others stay."""
    stays = await accounts.create(database)
    replaced = await accounts.create(database, "brevo")
    for row in (stays, replaced):
        await keep_token(database, row, accounts.vault())
    async with database.org(ORG) as transaction:
        change = (replaced.id, 0, lambda _: accounts.DRAFT)
        await connection.update(transaction, ORG, change, accounts.vault())
    await rotate(database, "one")
    async with database.everyone() as transaction:
        left = await transaction.scalars(sa.text("SELECT connection_id FROM connection_tokens"))
        assert list(left) == [stays.id]
