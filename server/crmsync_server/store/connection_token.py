"""Access tokens of connections, and the lease on renewing one: one replica at a time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

# What the two tokens of a row are called where they are encrypted.
ACCESS, REFRESH = "access", "refresh"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose token it is: a connection's, with the credentials of one version."""

    org_id: str
    connection_id: UUID
    credentials_version: int

    @property
    def parameters(self) -> dict[str, object]:
        """Return what all statements are told."""
        return {
            "org_id": self.org_id,
            "connection_id": self.connection_id,
            "credentials_version": self.credentials_version,
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted token, and the id of its key."""

    key_id: str
    access_token: bytes = field(repr=False)
    refresh_token: bytes = field(repr=False)
    expire_time: datetime


async def get(connection: AsyncConnection, bearer: Bearer) -> sa.Row[Any] | None:
    """Return the token, its columns None when there is none yet.

    None when the credentials are not the connection's any more.
    """
    found = await connection.execute(statement("connection_token/get"), bearer.parameters)
    return found.one_or_none()


async def lease(
    connection: AsyncConnection, bearer: Bearer, owner: UUID, *, renewals: int, lease: timedelta
) -> bool:
    """Take the renewal of a token for so long; False when somebody has it.

    renewals: how often the token that is to be renewed was; False also when it was meanwhile.
    """
    parameters = {**bearer.parameters, "owner": owner, "renewals": renewals, "lease": lease}
    return await connection.scalar(statement("connection_token/lease"), parameters) is not None


async def write(connection: AsyncConnection, bearer: Bearer, owner: UUID, token: Sealed) -> bool:
    """Keep a renewed token and give back the lease; False when it is not held any more."""
    parameters = {
        "org_id": bearer.org_id,
        "connection_id": bearer.connection_id,
        "owner": owner,
        "key_id": token.key_id,
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
        "expire_time": token.expire_time,
    }
    done = await connection.execute(statement("connection_token/write"), parameters)
    return done.rowcount == 1


async def release(connection: AsyncConnection, bearer: Bearer, owner: UUID) -> None:
    """Give back a lease; nothing was renewed."""
    parameters = {
        "org_id": bearer.org_id,
        "connection_id": bearer.connection_id,
        "owner": owner,
    }
    await connection.execute(statement("connection_token/release"), parameters)


async def purge(connection: AsyncConnection) -> int:
    """Delete the tokens, of any organization, that no connection needs; return how many."""
    return int((await connection.execute(statement("connection_token/purge"))).scalar_one())


async def lock_stale(
    connection: AsyncConnection, key_ids: list[str], *, size: int, except_ids: list[UUID]
) -> list[sa.Row[Any]]:
    """Lock some tokens, of any organization, that are under one of these keys."""
    parameters = {"key_ids": key_ids, "size": size, "except_ids": except_ids}
    rows = await connection.execute(statement("connection_token/lock_stale"), parameters)
    return list(rows)


async def rekey(connection: AsyncConnection, row: sa.Row[Any], token: Sealed) -> None:
    """Put a locked token, encrypted anew, in place."""
    parameters = {
        "org_id": row.org_id,
        "connection_id": row.connection_id,
        "credentials_version": row.credentials_version,
        "renewals": row.renewals,
        "old_key_id": row.key_id,
        "key_id": token.key_id,
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
    }
    await connection.execute(statement("connection_token/rekey"), parameters)
