"""Messages, both ways, what was told of those that were sent, and what is kept up of each day."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import conversation
from crmsync_server.store.conversation import Touched
from crmsync_server.store.statements import statement
from crmsync_server.store.states import MessageDirection, MessageStatus

_RANDOM_BITS = 74
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62


class Message(NamedTuple):
    """A message to be kept, in the order of insert.sql's columns.

    whatsapp_id: empty where it is not known. payload: as it came.
    """

    id: UUID
    whatsapp_id: str
    contact_id: UUID
    phone_number_id: str
    direction: MessageDirection
    type: str
    text: str
    payload: Mapping[str, Any]
    status: MessageStatus
    message_time: datetime


class Status(NamedTuple):
    """What was told of a message, in the order of tell.sql's columns.

    status: WhatsApp's word. message_id: our own id, where it came back.
    error: code, kind, message and trace_id, where it failed.
    """

    whatsapp_id: str
    status: str
    status_time: datetime
    message_id: UUID | None = None
    error: Mapping[str, Any] | None = None


def id_of(org_id: str, whatsapp_id: str, time: datetime) -> UUID:
    """Return the id of a received message: a UUIDv7 of its time, whose other bits are a hash.

    The same message of an organization has the same id, and so the same place among others, in
    whatever order they come.
    """
    # An organization's id holds no NUL.
    said = f"{org_id}\0{whatsapp_id}".encode()
    noise = int.from_bytes(hashlib.blake2b(said, digest_size=16).digest(), "big")
    noise &= (1 << _RANDOM_BITS) - 1
    milliseconds = max(int(time.timestamp() * 1000), 0) & ((1 << 48) - 1)
    high, low = noise >> 62, noise & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | high << 64 | low | _VERSION_AND_VARIANT)


async def insert(
    connection: AsyncConnection, org_id: str, messages: Sequence[Message]
) -> Sequence[sa.Row[Any]]:
    """Add messages, but for those that are known; return the others, to be settled."""
    names = [f"{name}s" for name in Message._fields]
    names[names.index("statuss")] = "statuses"
    told = [one._replace(payload=json.dumps(dict(one.payload))) for one in messages]  # type: ignore[arg-type]  # as Postgres reads it
    columns = dict(zip(names, map(list, zip(*told, strict=True)), strict=True))
    parameters = {"org_id": org_id, **columns}
    return (await connection.execute(statement("message/insert"), parameters)).all()


async def settle(connection: AsyncConnection, org_id: str, touched: Iterable[sa.Row[Any]]) -> None:
    """Bring everything that follows from messages in line with those that came or changed.

    touched: contact_id, phone_number_id, direction and message_time of each.
    """
    if not (around := conversation.around(touched)):
        return
    contact_ids = sorted({one.contact_id for one in around})
    await conversation.settle(connection, org_id, around)
    await answer(connection, org_id, around)
    await conversation.keep_contacts(connection, org_id, contact_ids)


async def tell(connection: AsyncConnection, org_id: str, told: Sequence[Status]) -> None:
    """Keep what was told of messages that were sent, and move those on that are there.

    What comes before its message is kept for it.
    """
    written = [
        (*one[:4], json.dumps(dict(one.error)) if one.error is not None else None) for one in told
    ]
    names = ("whatsapp_ids", "statuses", "status_times", "message_ids", "errors")
    columns = dict(zip(names, map(list, zip(*written, strict=True)), strict=True))
    await connection.execute(statement("message/tell"), {"org_id": org_id, **columns})
    whatsapp_ids = sorted(set(columns["whatsapp_ids"]))
    await adopt(connection, org_id, whatsapp_ids)
    await advance(connection, org_id, whatsapp_ids)


async def adopt(connection: AsyncConnection, org_id: str, whatsapp_ids: Sequence[str]) -> None:
    """Give messages of ours the ids that statuses told together with ours."""
    parameters = {"org_id": org_id, "whatsapp_ids": list(whatsapp_ids)}
    await connection.execute(statement("message/adopt"), parameters)


async def advance(connection: AsyncConnection, org_id: str, whatsapp_ids: Sequence[str]) -> None:
    """Move messages as far on as was told of them."""
    parameters = {"org_id": org_id, "whatsapp_ids": list(whatsapp_ids)}
    rows = (await connection.execute(statement("message/advance"), parameters)).all()
    await turn(connection, org_id, rows)


async def turn(connection: AsyncConnection, org_id: str, moved: Iterable[sa.Row[Any]]) -> None:
    """Reckon anew who was answered, where messages failed, or did not after all."""
    if around := conversation.around(row for row in moved if row.turned):
        await answer(connection, org_id, around)


async def answer(connection: AsyncConnection, org_id: str, around: Sequence[Touched]) -> None:
    """Find out anew how long contacts waited for answers, around some messages."""
    parameters = {"org_id": org_id, **conversation.columns(around)}
    del parameters["sent"]
    await connection.execute(statement("message/answer"), parameters)


async def get(connection: AsyncConnection, org_id: str, message_id: UUID) -> sa.Row[Any]:
    """Return a message that is there."""
    parameters = {"org_id": org_id, "message_id": message_id}
    return (await connection.execute(statement("message/get"), parameters)).one()


async def is_young(connection: AsyncConnection) -> bool:
    """Tell whether the database knows nothing yet of what the tables of messages hold."""
    return bool(await connection.scalar(statement("message/is_young")))


async def analyze(connection: AsyncConnection) -> None:
    """Have the database look at what they hold."""
    await connection.execute(statement("message/analyze"))


async def days(
    connection: AsyncConnection, org_id: str, since: date, until: date
) -> Sequence[sa.Row[Any]]:
    """Return what is kept up of the days from one to another, newest first; empty ones left out."""
    parameters = {"org_id": org_id, "since": since, "until": until}
    return (await connection.execute(statement("message/days"), parameters)).all()


async def totals(connection: AsyncConnection, org_id: str) -> sa.Row[Any]:
    """Return how many were sent and received in all, and with how many contacts."""
    return (await connection.execute(statement("message/totals"), {"org_id": org_id})).one()


async def top(connection: AsyncConnection, org_id: str, *, size: int) -> Sequence[sa.Row[Any]]:
    """Return the contacts with the most messages."""
    parameters = {"org_id": org_id, "size": size}
    return (await connection.execute(statement("message/top"), parameters)).all()


async def purge_statuses(connection: AsyncConnection, *, age: timedelta, size: int) -> int:
    """Forget up to so much that was told so long ago of messages that nobody here sent."""
    parameters = {"age": age, "size": size}
    return (await connection.execute(statement("message/purge_statuses"), parameters)).rowcount
