"""Users: the people who work with an organization's CRMs, as they are provisioned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import UserNotFoundError
from crmsync_server.store.content import email_key
from crmsync_server.store.statements import statement

_TOGETHER = 5_000  # rows of one statement


@dataclass(frozen=True, slots=True)
class Draft:
    """A user as they are to be written; external_id and email are not empty."""

    id: UUID
    external_id: str
    email: str
    first_name: str
    last_name: str
    role: str
    is_active: bool
    metadata: dict[str, Any]

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "Draft":
        """Return a user as they are."""
        return cls(
            row.id,
            row.external_id,
            row.email,
            row.first_name,
            row.last_name,
            row.role,
            row.is_active,
            row.metadata,
        )


@dataclass(frozen=True, slots=True)
class Key:
    """Which user: by one of these."""

    id: UUID | None = None
    external_id: str | None = None
    email: str | None = None


async def find(
    connection: AsyncConnection,
    org_id: str,
    external_ids: Sequence[str],
    email_keys: Sequence[str],
) -> Sequence[sa.Row[Any]]:
    """Return the users with one of these external ids or emails, locked for this transaction."""
    parameters = {
        "org_id": org_id,
        "external_ids": [*external_ids],
        "email_keys": [*email_keys],
    }
    return (await connection.execute(statement("user/find"), parameters)).all()


async def insert(connection: AsyncConnection, org_id: str, drafts: Sequence[Draft]) -> None:
    """Add users.

    Raises:
        sqlalchemy.exc.IntegrityError: an external id or email is taken.
    """
    for start in range(0, len(drafts), _TOGETHER):
        parameters = {"org_id": org_id, **_columns(drafts[start : start + _TOGETHER])}
        await connection.execute(statement("user/insert"), parameters)


async def write(connection: AsyncConnection, org_id: str, drafts: Sequence[Draft]) -> None:
    """Give users their new values.

    Raises:
        sqlalchemy.exc.IntegrityError: an external id or email is taken.
    """
    if drafts:
        parameters = {"org_id": org_id, **_columns(drafts)}
        await connection.execute(statement("user/write"), parameters)


async def deactivate(
    connection: AsyncConnection, org_id: str, named_ids: Sequence[UUID]
) -> Sequence[sa.Row[Any]]:
    """Deactivate all but these; return who was (id, external_id, email)."""
    parameters = {"org_id": org_id, "named_ids": [*named_ids]}
    return (await connection.execute(statement("user/deactivate"), parameters)).all()


async def active(connection: AsyncConnection, org_id: str) -> int:
    """Count the active users."""
    return int(await connection.scalar(statement("user/active"), {"org_id": org_id}) or 0)


async def get(connection: AsyncConnection, org_id: str, key: Key) -> sa.Row[Any]:
    """Return a user; raises UserNotFoundError."""
    parameters = {
        "org_id": org_id,
        "id": key.id,
        "external_id": key.external_id,
        "email_key": email_key(key.email),
    }
    row = (await connection.execute(statement("user/get"), parameters)).one_or_none()
    if row is None:
        raise UserNotFoundError(str(key.id or key.external_id or key.email))
    return row


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    *,
    size: int,
    before_id: UUID | None = None,
    is_active: bool | None = None,
    role: str | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of users, newest first, older than before_id."""
    parameters = {
        "org_id": org_id,
        "before_id": before_id,
        "is_active": is_active,
        "role": role,
        "size": size,
    }
    return (await connection.execute(statement("user/list"), parameters)).all()


async def reserve(connection: AsyncConnection, org_id: str) -> bool:
    """Keep others from taking users in until this transaction ends; False when one reconciles."""
    return bool(await connection.scalar(statement("user/reserve"), {"org_id": org_id}))


async def share(connection: AsyncConnection, org_id: str) -> None:
    """Wait for a reconcile that is under way, and keep one from beginning."""
    await connection.execute(statement("user/share"), {"org_id": org_id})


def _columns(drafts: Sequence[Draft]) -> dict[str, Any]:
    return {
        "ids": [one.id for one in drafts],
        "external_ids": [one.external_id for one in drafts],
        "emails": [one.email for one in drafts],
        "first_names": [one.first_name for one in drafts],
        "last_names": [one.last_name for one in drafts],
        "roles": [one.role for one in drafts],
        "actives": [one.is_active for one in drafts],
        "metadatas": [json.dumps(one.metadata, ensure_ascii=False) for one in drafts],
    }
