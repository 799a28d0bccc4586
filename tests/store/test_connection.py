"""Connections: one for each CRM, changed as a whole, and their health."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from crmsync_server.errors import (
    ConnectionExistsError,
    ConnectionNotFoundError,
    VersionMismatchError,
)
from crmsync_server.store import connection
from crmsync_server.store.connection import Draft, Found
from crmsync_server.store.db import Database
from crmsync_server.store.health import ConnectionHealth
from crmsync_server.store.vault import DamagedError
from tests.store import accounts
from tests.store.people import ORG

HEALTHY = Found(ConnectionHealth.HEALTHY, "as user ada", "17")


async def get(database: Database, connection_id: UUID, org_id: str = ORG) -> sa.Row[Any]:
    """Return a connection."""
    async with database.org(org_id) as transaction:
        return await connection.get(transaction, org_id, connection_id)


async def update(
    database: Database, connection_id: UUID, draft: Draft, version: int = 0, org_id: str = ORG
) -> sa.Row[Any]:
    """Change a connection."""
    async with database.org(org_id) as transaction:
        change = (connection_id, version, lambda _: draft)
        return await connection.update(transaction, org_id, change, accounts.vault())


async def record(database: Database, found: Found, org_id: str = ORG) -> bool:
    """Keep what was found out about Mautic's credentials."""
    async with database.org(org_id) as transaction:
        return await connection.record_health(transaction, org_id, "mautic", found)


async def test_a_connection_is_kept_without_its_secrets_in_sight(database: Database) -> None:
    """The row names them, and the vault alone can read them."""
    row = await accounts.create(database)
    assert (row.crm, row.display_name, row.base_url) == ("mautic", "Ours", accounts.DRAFT.base_url)
    assert row.options == {"batch_size": "10"}
    assert row.names == ["client_id", "refresh_token"]
    assert (row.health, row.check_time, row.version) == (ConnectionHealth.UNCHECKED, None, 1)
    assert await accounts.opened(database, row) == accounts.SECRETS
    assert "canary" not in repr(row) + repr(accounts.DRAFT)


async def test_an_organization_has_one_connection_to_a_crm(database: Database) -> None:
    """A second one is refused with the id of the first; other organizations have theirs."""
    first = await accounts.create(database)
    with pytest.raises(ConnectionExistsError) as refused:
        await accounts.create(database)
    assert refused.value.metadata == {"connection_id": str(first.id), "crm": "mautic"}
    await accounts.create(database, "brevo")
    await accounts.create(database, org_id="other")


async def test_of_two_that_create_at_once_one_does(database: Database) -> None:
    """The other one is told so."""
    made = await asyncio.gather(
        *(accounts.create(database) for _ in range(4)), return_exceptions=True
    )
    refused = [one for one in made if isinstance(one, ConnectionExistsError)]
    assert len(refused) == 3


async def test_another_organization_s_connection_is_not_there(database: Database) -> None:
    """For reading, changing or deleting."""
    row = await accounts.create(database)
    with pytest.raises(ConnectionNotFoundError):
        await get(database, row.id, "other")
    with pytest.raises(ConnectionNotFoundError):
        await update(database, row.id, accounts.DRAFT, org_id="other")
    async with database.org("other") as transaction:
        with pytest.raises(ConnectionNotFoundError):
            await connection.delete(transaction, "other", row.id)
        assert await connection.find(transaction, "other", "mautic") is None


async def test_they_are_listed_by_crm_page_by_page(database: Database) -> None:
    """Each page goes on after the last CRM of the one before."""
    for crm in ("n8n", "brevo", "mautic"):
        await accounts.create(database, crm)
    async with database.org(ORG) as transaction:
        first = await connection.list(transaction, ORG, size=2)
        rest = await connection.list(transaction, ORG, size=2, after_crm=first[-1].crm)
        one = await connection.list(transaction, ORG, size=2, crm="n8n")
    assert [row.crm for row in first] == ["brevo", "mautic"]
    assert [row.crm for row in rest] == ["n8n"]
    assert [row.names for row in one] == [["client_id", "refresh_token"]]


async def test_new_secrets_replace_all_the_old_ones(database: Database) -> None:
    """And nothing is known of their health; what was known was about the old ones."""
    row = await accounts.create(database)
    await record(database, HEALTHY)
    after = await update(database, row.id, replace(accounts.DRAFT, secrets={"username": "ada"}))
    assert (after.names, after.version, after.credentials_version) == (["username"], 2, 2)
    assert (after.health, after.health_reason, after.account_id) == ("UNCHECKED", "", "")
    assert after.check_time is None
    assert await accounts.opened(database, row) == {"username": "ada"}


async def test_a_change_without_secrets_keeps_them(database: Database) -> None:
    """And what is known of them."""
    row = await accounts.create(database)
    await record(database, HEALTHY)
    after = await update(database, row.id, replace(accounts.DRAFT, display_name="B", secrets=None))
    assert (after.display_name, after.version, after.credentials_version) == ("B", 2, 1)
    assert (after.health, after.account_id) == ("HEALTHY", "17")
    assert await accounts.opened(database, row) == accounts.SECRETS


async def test_a_change_that_changes_nothing_raises_no_version(database: Database) -> None:
    """So that nobody builds anything anew for it."""
    row = await accounts.create(database)
    after = await update(database, row.id, replace(accounts.DRAFT, secrets=None))
    assert (after.version, after.update_time) == (1, row.update_time)


async def test_a_change_meant_for_another_version_is_refused(database: Database) -> None:
    """It names the present one, and changes nothing."""
    row = await accounts.create(database)
    changed = replace(accounts.DRAFT, display_name="B")
    await update(database, row.id, changed, version=1)
    with pytest.raises(VersionMismatchError) as refused:
        await update(database, row.id, replace(changed, display_name="C"), version=1)
    assert refused.value.metadata == {"version": "2"}
    assert (await get(database, row.id)).display_name == "B"


async def test_deleting_takes_the_secrets_along(database: Database) -> None:
    """And a second time there is nothing to delete."""
    row = await accounts.create(database)
    async with database.org(ORG) as transaction:
        assert await connection.delete(transaction, ORG, row.id) == "mautic"
    async with database.org(ORG) as transaction:
        assert await connection.secrets(transaction, ORG, row.id) == {}
        with pytest.raises(ConnectionNotFoundError):
            await connection.delete(transaction, ORG, row.id)


async def test_refused_credentials_mark_the_connection(database: Database) -> None:
    """With the CRM's words, cut to what a row keeps; without a connection nothing happens."""
    row = await accounts.create(database)
    async with database.org(ORG) as transaction:
        found = Found(ConnectionHealth.UNHEALTHY, "x" * 600)
        assert await connection.record_health(transaction, ORG, "mautic", found)
        assert not await connection.record_health(transaction, ORG, "brevo", found)
    after = await get(database, row.id)
    assert (after.health, after.health_reason) == ("UNHEALTHY", "x" * 500)
    assert after.check_time is not None
    assert after.version == 1


async def test_what_was_found_out_about_older_credentials_is_not_kept(database: Database) -> None:
    """A check that ends after they were replaced says nothing of the new ones."""
    row = await accounts.create(database)
    late = replace(HEALTHY, credentials_version=row.credentials_version)
    assert await record(database, late)
    await update(database, row.id, accounts.DRAFT)
    assert not await record(database, late)
    assert (await get(database, row.id)).health == "UNCHECKED"


async def test_a_swapped_secret_opens_nothing(database: Database) -> None:
    """Whoever can write to the database cannot make one account's secret another's."""
    mine = await accounts.create(database)
    theirs = await accounts.create(database, "brevo")
    async with database.org(ORG) as transaction:
        await transaction.execute(
            sa.text(
                "UPDATE connection_secrets AS s SET sealed = o.sealed FROM connection_secrets AS o"
                " WHERE s.connection_id = :mine AND o.connection_id = :theirs AND o.name = s.name"
            ),
            {"mine": mine.id, "theirs": theirs.id},
        )
    with pytest.raises(DamagedError):
        await accounts.opened(database, mine)


async def test_an_unknown_connection_is_named(database: Database) -> None:
    """The error carries what was asked for."""
    unknown = uuid4()
    with pytest.raises(ConnectionNotFoundError) as refused:
        await get(database, unknown)
    assert str(unknown) in str(refused.value.details())
