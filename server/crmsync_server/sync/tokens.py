"""An account's access token, renewed by one caller at a time, over all replicas.

A token of a connection is in the database, encrypted. Whoever finds it spent takes a lease on its
renewal, renews it and writes it back; the others wait for that. No connection to the database is
held while the CRM is asked, and a lease ends by itself soon after the longest renewal would.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
import stamina
import structlog

from crmsync_server.crm.adapter import Token
from crmsync_server.store import connection_token
from crmsync_server.store.connection_token import Bearer, Sealed
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.store.vault import Account, Vault

_LEAST_LIFE = timedelta(minutes=1)
_LONGEST_RENEWAL = timedelta(seconds=60)
_TO_WRITE = timedelta(seconds=15)
_FIRST_PAUSE = 0.05  # seconds between two looks at a token that somebody else renews
_LONGEST_PAUSE = 0.5

_log = structlog.get_logger()

Renew = Callable[[str], Awaitable[Token]]


class StaleCredentialsError(RuntimeError):
    """The connection has other credentials by now, or is gone; these are used no more."""


class AccountTokens:
    """The token of one organization at one CRM, in this process: for accounts from the settings."""

    def __init__(self, clock: Callable[[], datetime], *, lasting: bool = True) -> None:
        """Begin without a token; lasting: whether the account will be used again."""
        self._clock = clock
        self._lasting = lasting
        self._token: Token | None = None
        self._renewing = asyncio.Lock()

    @property
    def lasting(self) -> bool:
        """Whether a token is kept; see crm.adapter.Tokens."""
        return self._lasting

    async def current(self, renew: Renew, *, refused: str = "") -> Token:
        """Return a token that holds for a minute at least; see crm.adapter.Tokens."""
        async with self._renewing:
            held = self._token
            if held is None or not _is_usable(held, refused, self._clock()):
                self._token = held = await renew(held.refresh_token if held else "")
            return held

    async def expire_time(self) -> datetime | None:
        """Return until when the token holds; None where there is none yet."""
        return None if self._token is None else self._token.expire_time


class TokenKeeper:
    """The tokens of connections, as one process uses them."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        *,
        longest_renewal: timedelta = _LONGEST_RENEWAL,
    ) -> None:
        """Keep tokens in this database.

        longest_renewal: how long a CRM may take to give a new token.
        """
        self.database = database
        self.vault = vault
        self.clock = clock
        self.longest_renewal = longest_renewal
        self._under_way: set[asyncio.Task[Token]] = set()

    def of(self, bearer: Bearer) -> "ConnectionTokens":
        """Return the tokens of one connection."""
        return ConnectionTokens(self, bearer)

    def start(self, work: Coroutine[Any, Any, Token]) -> asyncio.Task[Token]:
        """Do this to its end, whoever gives up waiting: a token that rotates is lost but once."""
        task = asyncio.create_task(work, name="renew token")
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace: float) -> None:
        """Give renewals under way so many seconds, then end them."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=grace)
        for task in late:
            _log.error("a token's renewal does not end")
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _ended(self, task: asyncio.Task[Token]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits raises it; nobody may be waiting any more


class ConnectionTokens:
    """The token of one connection, shared by all replicas."""

    def __init__(self, keeper: TokenKeeper, bearer: Bearer) -> None:
        """Begin without knowing one."""
        self._keeper = keeper
        self._bearer = bearer
        self._held: Token | None = None
        self._fetching: asyncio.Task[Token] | None = None

    @property
    def lasting(self) -> bool:
        """Whether a token is kept: it is, in the database."""
        return True

    async def current(self, renew: Renew, *, refused: str = "") -> Token:
        """Return a token that holds for a minute at least; see crm.adapter.Tokens.

        Raises StaleCredentialsError besides, and TimeoutError when the CRM gives none in time.
        """
        while self._held is None or not _is_usable(self._held, refused, self._keeper.clock()):
            others = self._fetching is not None and not self._fetching.done()
            if self._fetching is None or not others:
                self._fetching = self._keeper.start(self._fetch(renew, refused))
            self._held = await asyncio.shield(self._fetching)
            # What others fetched may be the very one that this caller was refused.
            if not others or self._held.value != refused:
                break
        return self._held

    async def expire_time(self) -> datetime | None:
        """Return until when the token holds; None where there is none yet."""
        async with self._keeper.database.org(self._bearer.org_id) as connection:
            row = await connection_token.get(connection, self._bearer)
        found: datetime | None = None if row is None else row.expire_time
        return found

    async def _fetch(self, renew: Renew, refused: str) -> Token:
        pause = _FIRST_PAUSE
        while True:
            row = await self._read()
            held = self._opened(row)
            if held is not None and _is_usable(held, refused, self._keeper.clock()):
                return held
            renewal = _Renewal(self._keeper, self._bearer)
            if await renewal.begin(row.renewals):
                return await renewal.run(renew, held.refresh_token if held else "")
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _read(self) -> sa.Row[Any]:
        async with self._keeper.database.org(self._bearer.org_id) as connection:
            row = await connection_token.get(connection, self._bearer)
        if row is None:
            raise StaleCredentialsError
        return row

    def _opened(self, row: sa.Row[Any]) -> Token | None:
        if row.key_id is None:
            return None
        place = Account(self._bearer.org_id, self._bearer.connection_id)
        value, refresh_token = (
            self._keeper.vault.open(place.token(name), row.key_id, sealed)
            for name, sealed in (
                (connection_token.ACCESS, row.access_token),
                (connection_token.REFRESH, row.refresh_token),
            )
        )
        return Token(value, row.expire_time, refresh_token)


@dataclass(frozen=True, slots=True)
class _Renewal:
    """One renewal of a token, under a lease."""

    keeper: TokenKeeper
    bearer: Bearer
    owner: UUID = field(default_factory=uuid4)

    async def begin(self, renewals: int) -> bool:
        """Take the lease; False when somebody has it, or the token is another one by now."""
        lease = self.keeper.longest_renewal + _TO_WRITE
        async with self.keeper.database.org(self.bearer.org_id) as connection:
            return await connection_token.lease(
                connection, self.bearer, self.owner, renewals=renewals, lease=lease
            )

    async def run(self, renew: Renew, refresh_token: str) -> Token:
        """Ask the CRM, and keep what it gives; raises what renew raises."""
        try:
            async with asyncio.timeout(self.keeper.longest_renewal.total_seconds()):
                token = await renew(refresh_token)
        except BaseException:
            await self._release()
            raise
        await self._keep(token)
        return token

    async def _keep(self, token: Token) -> None:
        """Write the token down; the CRM may not take the one before any more, so it is worth it."""
        try:
            if not await self._written(self._sealed(token)):
                _log.warning("a renewed token came too late to be kept", **self._named())
        except FAULTS:
            _log.exception("a renewed token is known to this process alone", **self._named())

    async def _written(self, token: Sealed) -> bool:
        kept = False
        async for attempt in stamina.retry_context(
            on=FAULTS, attempts=None, timeout=_TO_WRITE.total_seconds(), wait_max=2.0
        ):
            with attempt:
                async with self.keeper.database.org(self.bearer.org_id) as connection:
                    kept = await connection_token.write(connection, self.bearer, self.owner, token)
        return kept

    async def _release(self) -> None:
        try:
            async with self.keeper.database.org(self.bearer.org_id) as connection:
                await connection_token.release(connection, self.bearer, self.owner)
        except FAULTS:
            _log.warning("a lease on a renewal is left to end by itself", **self._named())

    def _sealed(self, token: Token) -> Sealed:
        vault, place = self.keeper.vault, Account(self.bearer.org_id, self.bearer.connection_id)
        return Sealed(
            vault.current_key(),
            vault.seal(place.token(connection_token.ACCESS), token.value),
            vault.seal(place.token(connection_token.REFRESH), token.refresh_token),
            token.expire_time,
        )

    def _named(self) -> dict[str, str]:
        return {"org_id": self.bearer.org_id, "connection_id": str(self.bearer.connection_id)}


def _is_usable(held: Token, refused: str, now: datetime) -> bool:
    return held.value != refused and held.expire_time >= now + _LEAST_LIFE
