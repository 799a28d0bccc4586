"""Resolving conflicts, one transaction each: the contact and its standings are locked before."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ConflictNotFoundError
from crmsync_server.store.statements import statement


async def lock(connection: AsyncConnection, org_id: str, conflict_id: UUID) -> sa.Row[Any]:
    """Return a conflict, locked for this transaction; raises ConflictNotFoundError."""
    parameters = {"org_id": org_id, "conflict_id": conflict_id}
    row = (await connection.execute(statement("resolution/lock"), parameters)).one_or_none()
    if row is None:
        raise ConflictNotFoundError(str(conflict_id))
    return row


async def see(
    connection: AsyncConnection, row: sa.Row[Any], seen: Mapping[str, Any], *, lacks: bool
) -> None:
    """Write down what the CRM has in the fields of a locked conflict, and free them.

    Args:
        connection: the transaction.
        row: the conflict.
        seen: what the CRM has, by slot; see store.base.
        lacks: whether something is to be delivered: then no content counts as delivered.
    """
    parameters = {
        "org_id": row.org_id,
        "contact_id": row.contact_id,
        "crm": row.crm,
        "fields": json.dumps(seen, ensure_ascii=False),
        "lacks": lacks,
    }
    await connection.execute(statement("resolution/see"), parameters)


async def close(
    connection: AsyncConnection,
    row: sa.Row[Any],
    results: Mapping[str, str],
    *,
    resolver: str,
    session_id: UUID | None,
) -> sa.Row[Any]:
    """Write down what a locked conflict was resolved to, by field; return it as it is then.

    session_id: the session that delivers it; None where the CRM has it.
    """
    parameters = {
        "org_id": row.org_id,
        "conflict_id": row.id,
        "results": json.dumps(results, ensure_ascii=False),
        "resolver": resolver,
        "session_id": session_id,
    }
    return (await connection.execute(statement("resolution/close"), parameters)).one()
