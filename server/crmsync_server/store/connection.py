"""Connections: organizations' accounts at CRMs, with credentials that only the vault can read."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import (
    ConnectionExistsError,
    ConnectionNotFoundError,
    VersionMismatchError,
)
from crmsync_server.store.health import ConnectionHealth
from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import statement
from crmsync_server.store.vault import Account, Vault

_ROTATION = 0x63726D73796E6303  # "crmsync" and a number, as for the lock of migrations
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller decides of a connection.

    base_url: empty for the CRM's public address.
    secrets: the credentials; None keeps those that there are.
    """

    display_name: str
    base_url: str
    options: Mapping[str, str]
    secrets: Mapping[str, str] | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about credentials.

    credentials_version: that of the credentials; None for whatever the connection has now.
    reason: in words, without secrets.
    account_id: empty where the CRM told none; then the one that is known stays.
    """

    health: ConnectionHealth
    reason: str
    account_id: str = ""
    credentials_version: int | None = None


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A connection's secrets, as a rotation has encrypted them anew."""

    row: sa.Row[Any]
    key_id: str
    sealed: Mapping[str, bytes]


async def create(
    connection: AsyncConnection, org_id: str, crm: str, draft: Draft, vault: Vault
) -> sa.Row[Any]:
    """Add a connection and return it.

    Raises:
        ConnectionExistsError: the organization has one to this CRM.
        KeyFileError: the credentials cannot be encrypted.
    """
    connection_id = new_id()
    while not await insert(connection, org_id, (connection_id, crm, draft), vault):
        row = await find(connection, org_id, crm)
        if row is not None:
            raise ConnectionExistsError(str(row.id), crm)
    return await get(connection, org_id, connection_id)


async def insert(
    connection: AsyncConnection, org_id: str, new: tuple[UUID, str, Draft], vault: Vault
) -> bool:
    """Add a connection (id, CRM, content); return False when there is one to this CRM."""
    connection_id, crm, draft = new
    parameters = {
        "org_id": org_id,
        "connection_id": connection_id,
        "crm": crm,
        **_content(draft),
        "key_id": vault.current_key(),
        **_sealed(vault.seal_all(Account(org_id, connection_id), draft.secrets or {})),
    }
    return await connection.scalar(statement("connection/insert"), parameters) is not None


async def get(connection: AsyncConnection, org_id: str, connection_id: UUID) -> sa.Row[Any]:
    """Return a connection, with the `names` of its secrets; raises ConnectionNotFoundError."""
    parameters = {"org_id": org_id, "connection_id": connection_id}
    row = (await connection.execute(statement("connection/get"), parameters)).one_or_none()
    if row is None:
        raise ConnectionNotFoundError(str(connection_id))
    return row


async def find(connection: AsyncConnection, org_id: str, crm: str) -> sa.Row[Any] | None:
    """Return the organization's connection to a CRM; None when there is none."""
    parameters = {"org_id": org_id, "crm": crm}
    return (await connection.execute(statement("connection/find"), parameters)).one_or_none()


async def owner(connection: AsyncConnection, connection_id: UUID) -> sa.Row[Any] | None:
    """Return whose connection this is, org_id and crm, over all organizations; None for nobody's.

    In a transaction over everyone's rows.
    """
    parameters = {"connection_id": connection_id}
    return (await connection.execute(statement("connection/owner"), parameters)).first()


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    *,
    size: int,
    crm: str | None = None,
    after_crm: str | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of connections, by CRM, with the `names` of their secrets."""
    parameters = {"org_id": org_id, "crm": crm, "after_crm": after_crm, "size": size}
    return (await connection.execute(statement("connection/list"), parameters)).all()


async def lock(connection: AsyncConnection, org_id: str, connection_id: UUID) -> sa.Row[Any]:
    """Return a connection that nobody else changes until the end of the transaction.

    Raises:
        ConnectionNotFoundError: the organization has none of this id.
    """
    parameters = {"org_id": org_id, "connection_id": connection_id}
    row = (await connection.execute(statement("connection/lock"), parameters)).one_or_none()
    if row is None:
        raise ConnectionNotFoundError(str(connection_id))
    return row


async def update(
    connection: AsyncConnection,
    org_id: str,
    change: tuple[UUID, int, Callable[[sa.Row[Any]], Draft]],
    vault: Vault,
) -> sa.Row[Any]:
    """Change a connection and return it; its version rises if anything changed.

    Args:
        connection: a transaction.
        org_id: the organization.
        change: the connection's id, the version that the change is meant for (0 for any), and what
            makes the new content of the present row; what that raises passes.
        vault: encrypts new secrets.

    Raises:
        ConnectionNotFoundError: the organization has none of this id.
        VersionMismatchError: the connection is at another version.
        KeyFileError: the credentials cannot be encrypted.
    """
    connection_id, version, draft_of = change
    row = await lock(connection, org_id, connection_id)
    if version not in {0, row.version}:
        raise VersionMismatchError(row.version)
    draft = draft_of(row)
    if draft.secrets is not None or _content(draft) != _content(content_of(row)):
        await write(connection, org_id, connection_id, draft, vault)
    return await get(connection, org_id, connection_id)


async def write(
    connection: AsyncConnection, org_id: str, connection_id: UUID, draft: Draft, vault: Vault
) -> None:
    """Give a locked connection its new content, and new secrets if there are any."""
    renewed = draft.secrets is not None
    parameters = {
        "org_id": org_id,
        "connection_id": connection_id,
        **_content(draft),
        "key_id": vault.current_key() if renewed else None,
        "renewed": renewed,
    }
    await connection.execute(statement("connection/write"), parameters)
    if draft.secrets is not None:
        sealed = vault.seal_all(Account(org_id, connection_id), draft.secrets)
        await replace_secrets(connection, org_id, connection_id, sealed)


async def replace_secrets(
    connection: AsyncConnection, org_id: str, connection_id: UUID, sealed: Mapping[str, bytes]
) -> None:
    """Replace the encrypted secrets of a locked connection as a whole."""
    parameters = {"org_id": org_id, "connection_id": connection_id, **_sealed(sealed)}
    await connection.execute(statement("connection/replace_secrets"), parameters)


async def delete(connection: AsyncConnection, org_id: str, connection_id: UUID) -> str:
    """Delete a connection and its credentials; return its CRM.

    Raises:
        ConnectionNotFoundError: the organization has none of this id.
    """
    parameters = {"org_id": org_id, "connection_id": connection_id}
    crm: str | None = await connection.scalar(statement("connection/delete"), parameters)
    if crm is None:
        raise ConnectionNotFoundError(str(connection_id))
    return crm


async def secrets(
    connection: AsyncConnection, org_id: str, connection_id: UUID
) -> dict[str, bytes]:
    """Return the secrets of a connection by name, encrypted."""
    parameters = {"org_id": org_id, "connection_id": connection_id}
    rows = await connection.execute(statement("connection/secrets"), parameters)
    return {row.name: row.sealed for row in rows}


async def record_health(connection: AsyncConnection, org_id: str, crm: str, found: Found) -> bool:
    """Keep what was found out; return False when there are other credentials by now, or none."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "health": found.health,
        "reason": found.reason[:_LONGEST_REASON],
        "account_id": found.account_id,
        "credentials_version": found.credentials_version,
    }
    done = await connection.execute(statement("connection/record_health"), parameters)
    return done.rowcount == 1


async def key_ids(connection: AsyncConnection) -> set[str]:
    """Return the ids of the keys in use, over all organizations."""
    return {str(key_id) for key_id in await connection.scalars(statement("connection/key_ids"))}


async def begin_rotation(connection: AsyncConnection) -> bool:
    """Tell whether this transaction is the only one that rotates keys, until it ends."""
    return bool(
        await connection.scalar(statement("connection/begin_rotation"), {"lock": _ROTATION})
    )


async def lock_stale(
    connection: AsyncConnection, key_ids: Sequence[str], *, size: int, except_ids: Sequence[UUID]
) -> Sequence[sa.Row[Any]]:
    """Lock some connections, of any organization, whose secrets are under one of these keys."""
    parameters = {"key_ids": [*key_ids], "size": size, "except_ids": [*except_ids]}
    return (await connection.execute(statement("connection/lock_stale"), parameters)).all()


async def rekey(connection: AsyncConnection, new: Rekeyed) -> bool:
    """Put re-encrypted secrets in place; return False when they were replaced meanwhile."""
    parameters = {
        "org_id": new.row.org_id,
        "connection_id": new.row.id,
        "version": new.row.version,
        "old_key_id": new.row.key_id,
        "key_id": new.key_id,
        **_sealed(new.sealed),
    }
    return await connection.scalar(statement("connection/rekey"), parameters) is not None


def content_of(row: sa.Row[Any]) -> Draft:
    """Return what a caller decided of a connection, but for its secrets."""
    return Draft(row.display_name, row.base_url, row.options)


def _content(draft: Draft) -> dict[str, str]:
    return {
        "display_name": draft.display_name,
        "base_url": draft.base_url,
        "options": json.dumps(dict(draft.options), ensure_ascii=False, sort_keys=True),
    }


def _sealed(secrets: Mapping[str, bytes]) -> dict[str, Sequence[object]]:
    return {"names": [*secrets], "sealed": [*secrets.values()]}
