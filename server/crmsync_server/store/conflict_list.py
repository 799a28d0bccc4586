"""Conflicts as they are listed: newest first, and how many are open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ConflictNotFoundError
from crmsync_server.store.narrowed import narrowed
from crmsync_server.store.statements import statement
from crmsync_server.store.states import ConflictState

_NEWEST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which conflicts to list; None means any."""

    crm: str | None = None
    state: ConflictState | None = None
    contact_id: UUID | None = None


async def get(connection: AsyncConnection, org_id: str, conflict_id: UUID) -> sa.Row[Any]:
    """Return a conflict; raises ConflictNotFoundError."""
    parameters = {"org_id": org_id, "conflict_id": conflict_id}
    row = (await connection.execute(statement("conflict_list/get"), parameters)).one_or_none()
    if row is None:
        raise ConflictNotFoundError(str(conflict_id))
    return row


async def page(
    connection: AsyncConnection,
    org_id: str,
    chosen: Filter,
    *,
    size: int,
    before_id: UUID | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of conflicts, newest first, older than before_id."""
    parameters = {"org_id": org_id, "before_id": before_id or _NEWEST, "size": size}
    return (await connection.execute(query(chosen), parameters)).all()


def query(chosen: Filter) -> sa.TextClause:
    """Return the statement of `page` for a filter."""
    return narrowed("conflict_list/page", _condition(chosen))


async def open_counts(connection: AsyncConnection, org_id: str) -> Mapping[str, int]:
    """Return how many conflicts are open, by CRM; those without any are left out."""
    rows = await connection.execute(statement("conflict_list/open_counts"), {"org_id": org_id})
    return {row.crm: row.open_count for row in rows}


def _condition(chosen: Filter) -> sa.ColumnElement[bool] | None:
    given: list[sa.ColumnElement[bool]] = []
    if chosen.state is not None:
        # Spelled out: no index of the open ones serves a parameter that may be anything.
        given.append(sa.literal_column(f"f.state = '{chosen.state}'", sa.Boolean))
    if chosen.crm is not None:
        given.append(sa.literal_column("f.crm") == sa.bindparam("of_crm", chosen.crm))
    if chosen.contact_id is not None:
        contact_id = sa.bindparam("of_contact", chosen.contact_id, sa.Uuid)
        given.append(sa.literal_column("f.contact_id", sa.Uuid) == contact_id)
    return sa.and_(*given) if given else None
