"""Changes of messages, in the order in which their transactions became visible; see store.event.

A message is one row and carries the transaction of its last change: one that changes again moves on
in the stream, and whoever follows is told its newest state. All are kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import event
from crmsync_server.store.event import Bounds
from crmsync_server.store.place import Key, Named, Place, token
from crmsync_server.store.statements import statement

_AFTER = 1  # a place right after a message, not before all of its transaction
_STREAM = "messages"


def scope(org_id: str) -> str:
    """Return what the tokens of an organization's messages are bound to."""
    # No organization's id holds a NUL: tokens of events are none of these.
    return f"{org_id}\0{_STREAM}"


async def bounds(connection: AsyncConnection) -> Bounds:
    """Return what can be told, before anything else in the same transaction."""
    return replace(await event.bounds(connection), kept_from=datetime.fromtimestamp(0, UTC))


async def last(connection: AsyncConnection, org_id: str, bounds: Bounds) -> Place:
    """Return the place after everything that can be told."""
    parameters = {
        "org_id": org_id,
        "transaction": bounds.border.key.transaction,
        "settled": bounds.settled,
    }
    row = (await connection.execute(statement("message_log/last"), parameters)).one_or_none()
    return bounds.border if row is None else place_of(row)


async def page(
    connection: AsyncConnection, org_id: str, after: Place, settled: int, *, size: int
) -> Sequence[sa.Row[Any]]:
    """Return the messages that changed next after a place, up to the transactions settled.

    Fewer than size means that there are no more.
    """
    parameters = {
        "org_id": org_id,
        "transaction": after.key.transaction,
        "message_id": after.key.contact_id,
        "settled": settled,
        "size": size,
    }
    return (await connection.execute(statement("message_log/page"), parameters)).all()


async def find(connection: AsyncConnection, org_id: str, named: Named) -> Place | None:
    """Return the place right after the change that a token names; None when there is no such."""
    parameters = {
        "org_id": org_id,
        "transaction": named.transaction,
        "message_id": named.contact_id,
        "time": named.time,
    }
    if not await connection.scalar(statement("message_log/find"), parameters):
        return None
    return Place(Key(named.transaction, named.contact_id, attempt=_AFTER), named.time)


def place_of(row: sa.Row[Any]) -> Place:
    """Return the place right after the last change of a message."""
    return Place(Key(row.transaction, row.id, attempt=_AFTER), row.update_time)


def token_of(row: sa.Row[Any], bounds: Bounds) -> str:
    """Return a token of a message that was read by itself, after these bounds.

    Not all that comes before its change may be visible yet: then the place is an earlier one.
    """
    settled = row.transaction < bounds.settled
    place = place_of(row) if settled else bounds.border
    return token(scope(row.org_id), bounds.system, place)
