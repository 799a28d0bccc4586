"""The outbox: messages that are to be sent, each at most once.

A message is marked, and the mark committed, before it is handed over. Whoever marked it has until
its lease ends to say what became of it; after that nobody knows, and it is never handed over again.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import message
from crmsync_server.store.statements import statement
from crmsync_server.store.states import MessageStatus


class Pace(NamedTuple):
    """How fast may be sent from one number, over all replicas.

    size: messages that are claimed together at most; spacing: between two of them;
    burst: how much of a pause may be made up for.
    """

    size: int
    spacing: timedelta
    burst: timedelta


class Result(NamedTuple):
    """What became of a message that was handed over.

    error: code, kind, message and trace_id, unless it was taken.
    """

    status: MessageStatus
    whatsapp_id: str = ""
    error: Mapping[str, Any] | None = None


async def insert(
    connection: AsyncConnection,
    org_id: str,
    message_id: UUID,
    place: tuple[str, str],
    content: Mapping[str, Any],
) -> None:
    """Put a message into the outbox; place: from which number, and to whom (digits)."""
    parameters = {
        "org_id": org_id,
        "message_id": message_id,
        "phone_number_id": place[0],
        "recipient": place[1],
        "content": json.dumps(dict(content)),
    }
    await connection.execute(statement("outbox/insert"), parameters)


async def due(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return org_id and phone_number_id of what waits, and wait_seconds until it may be sent."""
    return (await connection.execute(statement("outbox/due"))).all()


async def claim(
    connection: AsyncConnection,
    org_id: str,
    phone_number_id: str,
    *,
    pace: Pace,
    lease: timedelta,
) -> Sequence[sa.Row[Any]]:
    """Mark messages as being handed over; empty when none is due, or somebody else is at it."""
    parameters = {
        "org_id": org_id,
        "phone_number_id": phone_number_id,
        **pace._asdict(),
        "lease": lease,
    }
    return (await connection.execute(statement("outbox/claim"), parameters)).all()


async def put_off(
    connection: AsyncConnection,
    org_id: str,
    row: sa.Row[Any],
    *,
    until: datetime,
    pause: str,
) -> None:
    """Put a message back that was certainly not taken, until a time.

    pause: what stands still until then: its RECIPIENT alone, the NUMBER, or the ACCOUNT.
    """
    parameters = {
        "org_id": org_id,
        "message_id": row.message_id,
        "phone_number_id": row.phone_number_id,
        "until": until,
        "pause": pause,
    }
    await connection.execute(statement("outbox/put_off"), parameters)


async def release(connection: AsyncConnection, org_id: str, message_ids: Sequence[UUID]) -> None:
    """Put messages back that were marked and certainly not handed over."""
    parameters = {"org_id": org_id, "message_ids": list(message_ids)}
    await connection.execute(statement("outbox/release"), parameters)


async def finish(
    connection: AsyncConnection, org_id: str, message_id: UUID, result: Result
) -> None:
    """Note what became of a message, with the account locked; what is known by now stays.

    What webhooks told of it before its id was known is told of it now.
    """
    parameters = {
        "org_id": org_id,
        "message_id": message_id,
        "status": result.status,
        "whatsapp_id": result.whatsapp_id,
        "error": None if result.error is None else json.dumps(dict(result.error)),
    }
    row = (await connection.execute(statement("outbox/finish"), parameters)).one_or_none()
    if row is None:
        return
    await message.turn(connection, org_id, [row])
    if row.whatsapp_id is not None:
        await message.advance(connection, org_id, [row.whatsapp_id])


async def expired(connection: AsyncConnection, *, size: int) -> Sequence[sa.Row[Any]]:
    """Return org_id and message_id of what somebody was handing over who is gone."""
    return (await connection.execute(statement("outbox/expired"), {"size": size})).all()


async def late(connection: AsyncConnection, org_id: str, message_id: UUID) -> bool:
    """Tell whether that still holds of a message, which is then locked."""
    parameters = {"org_id": org_id, "message_id": message_id}
    return await connection.scalar(statement("outbox/late"), parameters) is not None
