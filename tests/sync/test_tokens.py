"""Access tokens: renewed once for all replicas, kept encrypted, and never lost to whoever gives up.

The token endpoint is a simulated Mautic's, over loopback HTTP: its refresh tokens rotate, so that a
second renewal with the same one is refused for good.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from crmsync_server.crm.adapter import Token
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.mautic import MauticSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store import connection, connection_token
from crmsync_server.store.connection_token import Bearer
from crmsync_server.store.db import Database, Pool
from crmsync_server.sync.tokens import (
    AccountTokens,
    StaleCredentialsError,
    TokenKeeper,
)
from tests.eventually import eventually
from tests.store import accounts
from tests.store.people import ORG

SETTINGS = MauticSettings()
TOKEN_PATH = "/oauth/v2/token"
HOUR = timedelta(hours=1)


def now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class RefusedError(Exception):
    """The CRM took the refresh token no more."""


@dataclass
class Endpoint:
    """The simulated token endpoint, and one way to ask it.

    asked: the refresh tokens that it was asked with.
    """

    sandbox: Sandbox
    client: httpx.AsyncClient
    asked: list[str] = field(default_factory=list)

    @property
    def renewals(self) -> int:
        """How many tokens the endpoint was asked for, by its own count."""
        calls: Any = self.sandbox.mautic.calls.as_json()["calls"]
        return sum(call["count"] for call in calls if call["path"] == TOKEN_PATH)

    async def renew(self, refresh_token: str) -> Token:
        """Renew a token as an adapter does."""
        self.asked.append(refresh_token)
        form = {
            "grant_type": "refresh_token",
            "client_id": SETTINGS.client_id,
            "client_secret": SETTINGS.client_secret,
            "refresh_token": refresh_token or SETTINGS.refresh_token,
        }
        reply = await self.client.post(self.sandbox.urls["mautic"] + TOKEN_PATH, data=form)
        if reply.status_code != httpx.codes.OK:
            raise RefusedError
        told = reply.json()
        life = timedelta(seconds=told["expires_in"])
        return Token(told["access_token"], now() + life, told["refresh_token"])


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Run the token endpoint."""
    slow = MauticSettings(faults=FaultSettings(latency_seconds=0.3))
    async with Sandbox(mautic=slow) as sandbox, httpx.AsyncClient() as client:
        yield Endpoint(sandbox, client)


@asynccontextmanager
async def replicas(
    url: str, count: int = 2, longest_renewal: timedelta = timedelta(seconds=10)
) -> AsyncIterator[Sequence[TokenKeeper]]:
    """Run what several server processes have: a pool and a keeper each."""
    databases = [Database(url, Pool(size=2, overflow=0)) for _ in range(count)]
    keepers = [
        TokenKeeper(database, accounts.vault(), now, longest_renewal=longest_renewal)
        for database in databases
    ]
    try:
        yield keepers
    finally:
        for keeper, database in zip(keepers, databases, strict=True):
            await keeper.close(5)
            await database.close()


@pytest.fixture
async def bearer(database: Database) -> Bearer:
    """Create a connection, and return whose tokens are meant."""
    row = await accounts.create(database)
    return Bearer(ORG, row.id, row.credentials_version)


async def test_twenty_callers_at_two_replicas_renew_once(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """All of them get the same token, with two connections to the database per replica."""
    async with replicas(database_url) as keepers:
        at = [keeper.of(bearer) for keeper in keepers]
        tokens = await asyncio.gather(
            *(at[number % 2].current(endpoint.renew) for number in range(20))
        )
    assert {token.value for token in tokens} == {"access-1"}
    assert endpoint.renewals == 1


async def test_adapters_that_are_built_anew_renew_once(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Twenty objects that know nothing of each other, at two replicas."""
    async with replicas(database_url) as keepers:
        apart = [keepers[number % 2].of(bearer) for number in range(20)]
        tokens = await asyncio.gather(*(one.current(endpoint.renew) for one in apart))
    assert {token.value for token in tokens} == {"access-1"}
    assert endpoint.renewals == 1


async def test_the_refresh_token_rotates(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Each renewal uses the one that the renewal before gave, whichever replica made that."""
    async with replicas(database_url) as keepers:
        refused = ""
        for number in range(4):
            token = await keepers[number % 2].of(bearer).current(endpoint.renew, refused=refused)
            refused = token.value
    assert endpoint.asked == ["", "refresh-1", "refresh-2", "refresh-3"]


async def test_a_refused_token_is_renewed_once_by_all_who_had_it(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """A CRM that forgets a token early costs one renewal, not one for each call under way."""
    async with replicas(database_url) as keepers:
        at = [keeper.of(bearer) for keeper in keepers]
        for one in at:
            assert (await one.current(endpoint.renew)).value == "access-1"
        tokens = await asyncio.gather(
            *(at[number % 2].current(endpoint.renew, refused="access-1") for number in range(20))
        )
    assert {token.value for token in tokens} == {"access-2"}
    assert endpoint.renewals == 2


async def test_a_token_is_kept_over_restarts(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """A server that starts finds the token of the one before, until a minute before its end."""
    for clock, renewals in ((now, 1), (now, 1), (lambda: now() + HOUR, 2)):
        async with replicas(database_url, 1) as [keeper]:
            keeper.clock = clock
            await keeper.of(bearer).current(endpoint.renew)
        assert endpoint.renewals == renewals


async def test_the_database_holds_no_token_in_sight(
    database: Database, database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Neither of the two; nor does what keeps them show them."""
    async with replicas(database_url, 1) as [keeper]:
        tokens = keeper.of(bearer)
        token = await tokens.current(endpoint.renew)
        shown = repr(tokens) + repr(keeper) + repr(token)
    async with database.everyone() as transaction:
        rows = await transaction.execute(sa.text("SELECT t::text FROM connection_tokens AS t"))
        dump = "".join(row[0] for row in rows)
    for kept in ("access-1", "refresh-1"):
        assert kept not in dump + shown
        assert kept.encode().hex() not in dump


async def test_who_gives_up_waiting_loses_no_token(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """The renewal goes on: the CRM would not take the old refresh token a second time."""
    async with replicas(database_url) as keepers:
        waiting = asyncio.create_task(keepers[0].of(bearer).current(endpoint.renew))
        await eventually(lambda: _asked(endpoint, 1))
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (await keepers[1].of(bearer).current(endpoint.renew)).value == "access-1"
    assert endpoint.renewals == 1


async def test_a_renewal_that_fails_frees_the_way(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Whoever asked is told why, and the next one tries at once."""

    async def fail(_refresh_token: str) -> Token:
        raise RefusedError

    async with replicas(database_url) as keepers:
        for keeper in keepers:
            with pytest.raises(RefusedError):
                await keeper.of(bearer).current(fail)
        async with asyncio.timeout(5):
            assert (await keepers[0].of(bearer).current(endpoint.renew)).value == "access-1"


async def test_a_crm_that_hangs_holds_nobody_for_longer_than_its_time(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Nor any connection to the database, meanwhile."""
    hanging = asyncio.Event()

    async def hang(_refresh_token: str) -> Token:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with replicas(database_url, 2, timedelta(seconds=0.5)) as keepers:
        stuck = asyncio.create_task(keepers[0].of(bearer).current(hang))
        await hanging.wait()
        async with keepers[0].database.org(ORG) as one, keepers[0].database.org(ORG) as other:
            assert await connection_token.get(one, bearer)
            assert await connection_token.get(other, bearer)
        after = await keepers[1].of(bearer).current(endpoint.renew)
        with pytest.raises(TimeoutError):
            await stuck
    assert after.value == "access-1"


async def test_the_lease_of_a_server_that_died_ends_by_itself(
    database: Database, database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Nobody gave it back; the next one waits for its end and no longer."""
    async with replicas(database_url, 2) as keepers:
        async with database.org(ORG) as transaction:
            dead, brief = bearer.connection_id, timedelta(seconds=0.5)
            assert await connection_token.lease(transaction, bearer, dead, renewals=0, lease=brief)
        assert (await keepers[0].of(bearer).current(endpoint.renew)).value == "access-1"
    assert endpoint.renewals == 1


async def test_replaced_credentials_are_used_no_more(
    database: Database, database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """An adapter that still has them gets no token, and leaves the new ones' alone."""
    async with replicas(database_url) as keepers:
        old = keepers[0].of(bearer)
        async with database.org(ORG) as transaction:
            change = (bearer.connection_id, 0, lambda _: accounts.DRAFT)
            row = await connection.update(transaction, ORG, change, accounts.vault())
        with pytest.raises(StaleCredentialsError):
            await old.current(endpoint.renew)
        assert endpoint.renewals == 0
        new = replace(bearer, credentials_version=row.credentials_version)
        assert (await keepers[1].of(new).current(endpoint.renew)).value == "access-1"


async def test_a_connection_that_is_deleted_waits_for_no_renewal(
    database: Database, database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """Its token is thrown away once it is there, and nothing is left."""
    async with replicas(database_url, 1) as [keeper]:
        waiting = asyncio.create_task(keeper.of(bearer).current(endpoint.renew))
        await eventually(lambda: _asked(endpoint, 1))
        async with database.org(ORG) as transaction:
            await connection.delete(transaction, ORG, bearer.connection_id)
        assert not waiting.done()
        await waiting
    async with database.everyone() as transaction:
        await connection_token.purge(transaction)
        left = await transaction.scalar(sa.text("SELECT count(*) FROM connection_tokens"))
    assert left == 0


async def test_an_account_of_the_settings_renews_once_in_its_process(endpoint: Endpoint) -> None:
    """Without a row to keep the token in, one process has one."""
    tokens = AccountTokens(now)
    found = await asyncio.gather(*(tokens.current(endpoint.renew) for _ in range(20)))
    assert {token.value for token in found} == {"access-1"}
    assert (await tokens.current(endpoint.renew, refused="access-1")).value == "access-2"
    assert endpoint.renewals == 2


async def test_when_a_token_ends_is_told_without_renewing_it(
    database_url: str, bearer: Bearer, endpoint: Endpoint
) -> None:
    """By any replica, whoever had it; nothing before there is one."""
    async with replicas(database_url, 2) as keepers:
        assert await keepers[0].of(bearer).expire_time() is None
        token = await keepers[0].of(bearer).current(endpoint.renew)
        assert await keepers[1].of(bearer).expire_time() == token.expire_time
        later = replace(bearer, credentials_version=bearer.credentials_version + 1)
        assert await keepers[1].of(later).expire_time() is None
    assert endpoint.renewals == 1


async def test_an_account_of_the_settings_tells_when_its_token_ends(endpoint: Endpoint) -> None:
    """As one of a connection does."""
    tokens = AccountTokens(now)
    assert await tokens.expire_time() is None
    token = await tokens.current(endpoint.renew)
    assert await tokens.expire_time() == token.expire_time


def _asked(endpoint: Endpoint, count: int) -> None:
    assert len(endpoint.asked) == count
