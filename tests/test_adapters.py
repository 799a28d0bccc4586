"""Adapters: one for each connection as it is now, and no secret in sight."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from crmsync_server.adapters import Adapters
from crmsync_server.adapters.building import Shop
from crmsync_server.crm.adapter import Account, Adapter
from crmsync_server.store import connection
from crmsync_server.store.connection import Draft
from crmsync_server.store.db import Database
from crmsync_server.store.vault import UnknownKeyError
from crmsync_server.sync.tokens import TokenKeeper
from tests.store import accounts
from tests.store.people import ORG

CANARY = "canary-key"
DRAFT = Draft("", "https://brevo.test/v3", {}, {"api_key": CANARY})
SHARED = Account("", "brevo", "https://brevo.test/v3", {"api_key": "shared"})


class World:
    """Adapters whose clock stands until it is moved."""

    def __init__(self, database: Database, client: httpx.AsyncClient, **settings: Account) -> None:
        """Take the database, and the accounts of the settings."""
        self.now = 0.0
        self.database = database
        keeper = TokenKeeper(database, accounts.vault(), lambda: datetime.now(UTC))
        self.shop = Shop(database, client, keeper, {})
        self.adapters = Adapters(settings, self.shop, 5.0, lambda: self.now)

    async def of(self, org_id: str = ORG) -> Adapter | None:
        """Return the adapter for Brevo."""
        return await self.adapters.of(org_id, "brevo")

    async def rename(self, row_id: object, name: str) -> None:
        """Change the connection as another replica does: nobody here is told."""
        async with self.database.org(ORG) as transaction:
            change = (row_id, 0, lambda _: replace(DRAFT, display_name=name, secrets=None))
            await connection.update(transaction, ORG, change, accounts.vault())  # type: ignore[arg-type]  # the row's id


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """Work on the test's database."""
    async with httpx.AsyncClient() as client:
        yield World(database, client)


async def test_an_adapter_is_kept_while_its_connection_stays(world: World) -> None:
    """However often the version is looked at."""
    await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    assert first is not None
    for world.now in (1.0, 6.0, 60.0):
        assert await world.of() is first


async def test_a_change_that_nobody_told_of_is_noticed_within_five_seconds(world: World) -> None:
    """The hint may be lost; the version is the truth."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    await world.rename(row.id, "B")
    world.now = 4.9
    assert await world.of() is first
    world.now = 5.0
    assert await world.of() is not first


@pytest.mark.parametrize("hint", [f"{ORG}/brevo", None])
async def test_a_hint_makes_the_next_look_a_fresh_one(world: World, hint: str | None) -> None:
    """One for this very connection, or one that says that anything may have changed."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    await world.rename(row.id, "B")
    world.now = 1.0
    world.adapters.on_connection(hint)
    world.now = 1.1
    assert await world.of() is not first


async def test_what_an_adapter_knows_of_its_account_is_given_up_on_a_hint(world: World) -> None:
    """Such as its fields, when somebody made new ones: once, also where the connection is the same.

    That anything may have changed is no reason to build everything anew.
    """
    await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    world.now = 1.0
    world.adapters.on_connection(None)
    world.now = 1.1
    assert await world.of() is first
    world.adapters.on_connection(f"{ORG}/brevo")
    world.now = 1.2
    second = await world.of()
    assert second is not first
    world.now = 60.0
    assert await world.of() is second


async def test_an_account_of_the_settings_keeps_its_token_for_the_next_adapter(
    database: Database,
) -> None:
    """A refresh token that rotates is nowhere else."""
    async with httpx.AsyncClient() as client:
        world = World(database, client, brevo=SHARED)
        first = await world.adapters.stored(ORG, "brevo")
        world.adapters.renew(ORG, "brevo")
        world.now = 0.1
        second = await world.adapters.stored(ORG, "brevo")
    assert first is not None
    assert second is not None
    assert first.adapter is not second.adapter
    assert first.token_expiry == second.token_expiry


async def test_a_hint_about_another_connection_changes_nothing(world: World) -> None:
    """Nothing is read for it."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    await world.rename(row.id, "B")
    world.adapters.on_connection(f"{ORG}/hubspot")
    world.adapters.on_connection("other/brevo")
    assert await world.of() is first


async def test_an_organization_s_own_connection_comes_before_the_settings(
    database: Database,
) -> None:
    """The installation's account is for those that have none, each with an adapter of its own."""
    async with httpx.AsyncClient() as client:
        world = World(database, client, brevo=SHARED)
        shared = await world.adapters.stored(ORG, "brevo")
        other = await world.of("other")
        assert shared is not None
        assert shared.credentials_version is None
        assert other not in {None, shared.adapter}
        row = await accounts.create(database, "brevo", draft=DRAFT)
        world.adapters.forget(ORG, "brevo")
        world.now = 0.1
        own = await world.adapters.stored(ORG, "brevo")
        assert own is not None
        assert own.credentials_version == row.credentials_version
        assert await world.of("other") is other


async def test_credentials_under_a_lost_key_are_an_error_that_names_it(world: World) -> None:
    """And the connection, each time, until the key is there."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT, kept=accounts.vault("lost"))
    for _ in range(2):
        with pytest.raises(UnknownKeyError, match=f"{row.id}.*'lost'"):
            await world.of()


async def test_work_for_a_connection_that_cannot_be_opened_waits(world: World) -> None:
    """It is taken in, and nothing is said of what the CRM could do."""
    await accounts.create(world.database, "brevo", draft=DRAFT, kept=accounts.vault("lost"))
    assert (await world.adapters.traits(ORG, "brevo")).enabled
    assert await world.adapters.able(ORG, "brevo") is None


async def test_a_connection_that_was_not_there_is_found_at_once(world: World) -> None:
    """Whoever has just made it elsewhere is not told that there is none."""
    assert await world.of() is None
    await accounts.create(world.database, "brevo", draft=DRAFT)
    assert await world.of() is not None


async def test_a_fresh_look_misses_no_change(world: World) -> None:
    """A test of stored credentials tests the ones that are stored now."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT)
    first = await world.of()
    await world.rename(row.id, "B")
    found = await world.adapters.stored(ORG, "brevo", fresh=True)
    assert found is not None
    assert found.adapter is not first


async def test_no_class_on_the_way_shows_a_secret(world: World) -> None:
    """From what a caller gives to what an adapter is built from."""
    row = await accounts.create(world.database, "brevo", draft=DRAFT)
    stored = await world.adapters.stored(ORG, "brevo")
    shown = [row, DRAFT, stored, world.adapters, world.shop, world.shop.keeper, SHARED]
    shown += [world.shop.keeper.vault, getattr(stored, "adapter", None)]
    text = "".join(repr(one) + str(one) for one in shown)
    assert CANARY not in text
    assert "'shared'" not in text
