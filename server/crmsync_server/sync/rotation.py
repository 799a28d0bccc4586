"""Rotation: what is encrypted under an older key is moved to the current one, bit by bit."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import connection as connections
from crmsync_server.store import connection_token as tokens
from crmsync_server.store.connection import Rekeyed
from crmsync_server.store.connection_token import Sealed
from crmsync_server.store.db import Database
from crmsync_server.store.vault import Account, Vault, VaultError
from crmsync_server.sync.duty import Duty

_log = structlog.get_logger()

_INTERVAL = timedelta(minutes=10)
_BATCH = 50


class Rotation:
    """Re-encrypts in small batches, in one replica at a time, over all organizations.

    What cannot be decrypted is left as it is and named in the log each time.
    """

    def __init__(self, database: Database, vault: Vault, batch: int = _BATCH) -> None:
        """Look every few minutes; batch: rows in a transaction."""
        self._database = database
        self._vault = vault
        self._batch = batch
        self._duty = Duty("rotation", self.turn)

    def start(self) -> None:
        """Begin with a first look at once."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Move everything to the current key; return the seconds to the next look."""
        async with self._database.everyone() as connection:
            purged = await tokens.purge(connection)
            in_use = await connections.key_ids(connection)
        moved = await self._move(sorted(in_use))
        if moved or purged:
            _log.info("rotated keys", moved=moved, tokens_purged=purged)
        return _INTERVAL.total_seconds()

    async def _move(self, in_use: list[str]) -> int:
        known = [key_id for key_id in in_use if self._vault.knows(key_id)]
        if missing := sorted({*in_use} - {*known}):
            _log.error("credentials are under keys that this server does not have", key_ids=missing)
        if not known:  # asking for the current key could make one
            return 0
        older = [key_id for key_id in known if key_id != self._vault.current_key()]
        return await _Move(self._database, self._vault, older, self._batch).run() if older else 0


class _Move:
    """One pass over what is under older keys."""

    def __init__(self, database: Database, vault: Vault, older: list[str], batch: int) -> None:
        self._database = database
        self._vault = vault
        self._older = older
        self._batch = batch
        self._failed: set[UUID] = set()

    async def run(self) -> int:
        total = done = await self._some()
        while done:
            done = await self._some()
            total += done
        return total

    async def _some(self) -> int:
        """Move a batch; 0 when nothing is left, or another replica does it."""
        async with self._database.everyone() as connection:
            if not await connections.begin_rotation(connection):
                return 0
            return await self._secrets(connection) or await self._tokens(connection)

    async def _secrets(self, connection: AsyncConnection) -> int:
        rows = await connections.lock_stale(
            connection, self._older, size=self._batch, except_ids=list(self._failed)
        )
        for row in rows:
            sealed = await connections.secrets(connection, row.org_id, row.id)
            try:
                anew = self._resealed(row, sealed)
            except VaultError as error:
                self._give_up(row.id, error)
                continue
            await connections.rekey(connection, Rekeyed(row, self._vault.current_key(), anew))
        return len(rows)

    def _resealed(self, row: sa.Row[Any], sealed: dict[str, bytes]) -> dict[str, bytes]:
        account = Account(row.org_id, row.id)
        opened = self._vault.open_all(account, row.key_id, sealed)
        return self._vault.seal_all(account, opened)

    async def _tokens(self, connection: AsyncConnection) -> int:
        rows = await tokens.lock_stale(
            connection, self._older, size=self._batch, except_ids=list(self._failed)
        )
        for row in rows:
            try:
                anew = self._resealed_token(row)
            except VaultError as error:
                self._give_up(row.connection_id, error)
                continue
            await tokens.rekey(connection, row, anew)
        return len(rows)

    def _resealed_token(self, row: sa.Row[Any]) -> Sealed:
        account = Account(row.org_id, row.connection_id)
        places = (
            (account.token(tokens.ACCESS), row.access_token),
            (account.token(tokens.REFRESH), row.refresh_token),
        )
        access, refresh = (
            self._vault.seal(place, self._vault.open(place, row.key_id, sealed))
            for place, sealed in places
        )
        return Sealed(self._vault.current_key(), access, refresh, row.expire_time)

    def _give_up(self, connection_id: UUID, error: VaultError) -> None:
        self._failed.add(connection_id)
        _log.error("credentials cannot be moved to the current key", why=str(error))
