"""Conversations: what follows from a contact's messages, and from somebody closing one.

Every function that changes something is called with the account locked; see store.whatsapp.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ConversationNotFoundError
from crmsync_server.store.statements import statement
from crmsync_server.store.states import ConversationStatus, MessageDirection

WINDOW = timedelta(hours=24)
"""How long free text may be sent after something was received, and after how long a pause a
conversation is over; the statements say the same."""


class Touched(NamedTuple):
    """Between which times messages of one contact and number came or changed.

    sent: whether one of them was sent.
    """

    contact_id: UUID
    phone_number_id: str
    first_time: datetime
    last_time: datetime
    sent: bool


class Selection(NamedTuple):
    """Which conversations are asked for; None means any."""

    status: ConversationStatus | None = None
    contact_id: UUID | None = None
    unread_only: bool = False


def around(messages: Iterable[sa.Row[Any]]) -> Sequence[Touched]:
    """Return what is to be settled around messages, one for each contact and number."""
    found: dict[tuple[UUID, str], Touched] = {}
    for one in messages:
        key = (one.contact_id, one.phone_number_id)
        sent = one.direction == MessageDirection.OUTGOING
        before = found.get(key, Touched(*key, one.message_time, one.message_time, sent))
        found[key] = before._replace(
            first_time=min(before.first_time, one.message_time),
            last_time=max(before.last_time, one.message_time),
            sent=before.sent or sent,
        )
    return [found[key] for key in sorted(found)]


def columns(touched: Sequence[Touched]) -> dict[str, Any]:
    """Return the parameters of settle.sql: a list for each column."""
    names = ("contact_ids", "phone_number_ids", "first_times", "last_times", "sent")
    told = ([*column] for column in zip(*touched, strict=True))
    return dict(zip(names, told, strict=True))


async def settle(connection: AsyncConnection, org_id: str, touched: Sequence[Touched]) -> None:
    """Make conversations anew of what was said around messages that came or changed."""
    parameters = {"org_id": org_id, **columns(touched)}
    await connection.execute(statement("conversation/settle"), parameters)


async def keep_contacts(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> None:
    """Keep up what contacts show: how much is unread, and when something was said last."""
    await lock_contacts(connection, org_id, contact_ids)
    parameters = {"org_id": org_id, "contact_ids": [*contact_ids]}
    await connection.execute(statement("conversation/keep_contacts"), parameters)


async def lock_contacts(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> None:
    """Lock contacts whose figures are about to change."""
    parameters = {"org_id": org_id, "contact_ids": [*contact_ids]}
    await connection.execute(statement("conversation/lock_contacts"), parameters)


async def get(connection: AsyncConnection, org_id: str, conversation_id: UUID) -> sa.Row[Any]:
    """Return a conversation with contact_name and phone; raises ConversationNotFoundError."""
    parameters = {"org_id": org_id, "conversation_id": conversation_id}
    row = (await connection.execute(statement("conversation/get"), parameters)).one_or_none()
    if row is None:
        raise ConversationNotFoundError(str(conversation_id))
    return row


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    selection: Selection,
    *,
    size: int,
    before: tuple[datetime, UUID] | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of conversations, the one with the newest message first.

    before: last_message_time and id of the last one of the page before.
    """
    parameters = {
        "org_id": org_id,
        **selection._asdict(),
        "size": size,
        "before_time": before[0] if before else None,
        "before_id": before[1] if before else None,
    }
    return (await connection.execute(statement("conversation/list"), parameters)).all()


async def count(connection: AsyncConnection, org_id: str, selection: Selection) -> int:
    """Return how many conversations match; of all, and by status, without counting them."""
    if selection.contact_id is None and not selection.unread_only:
        kept = await counts(connection, org_id)
        wanted = [selection.status] if selection.status else [*ConversationStatus]
        return sum(kept.get(status, 0) for status in wanted)
    parameters = {"org_id": org_id, **selection._asdict()}
    return int(await connection.scalar(statement("conversation/count"), parameters) or 0)


async def counts(connection: AsyncConnection, org_id: str) -> dict[ConversationStatus, int]:
    """Return how many conversations there are, by status."""
    rows = await connection.execute(statement("conversation/counts"), {"org_id": org_id})
    return {ConversationStatus(row.status): int(row.total) for row in rows}


async def messages(
    connection: AsyncConnection,
    org_id: str,
    conversation_id: UUID,
    *,
    size: int,
    before: tuple[datetime, UUID] | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of a conversation's messages, newest first.

    before: message_time and id of the last one of the page before.
    """
    parameters = {
        "org_id": org_id,
        "conversation_id": conversation_id,
        "size": size,
        "before_time": before[0] if before else None,
        "before_id": before[1] if before else None,
    }
    return (await connection.execute(statement("conversation/messages"), parameters)).all()


async def close(connection: AsyncConnection, org_id: str, conversation_id: UUID) -> sa.Row[Any]:
    """Close a conversation and return it; one that is closed stays as it is.

    Raises:
        ConversationNotFoundError: the organization has none of this id.
    """
    row = await get(connection, org_id, conversation_id)
    parameters = {"org_id": org_id, "conversation_id": conversation_id}
    await connection.execute(statement("conversation/close"), parameters)
    return await _settled(connection, org_id, row)


async def mark_read(connection: AsyncConnection, org_id: str, conversation_id: UUID) -> sa.Row[Any]:
    """Note that everything received in a conversation was read, and return it.

    Raises:
        ConversationNotFoundError: the organization has none of this id.
    """
    row = await get(connection, org_id, conversation_id)
    parameters = {"org_id": org_id, "conversation_id": conversation_id}
    await connection.execute(statement("conversation/mark_read"), parameters)
    return await _settled(connection, org_id, row)


async def due(connection: AsyncConnection) -> Sequence[str]:
    """Return the organizations with conversations in which nothing was said for a day."""
    return [*await connection.scalars(statement("conversation/due"))]


async def end_due(connection: AsyncConnection, org_id: str, *, size: int) -> int:
    """Close up to so many conversations in which nothing was said for a day; return how many."""
    parameters = {"org_id": org_id, "size": size}
    return int(await connection.scalar(statement("conversation/end_due"), parameters) or 0)


async def window(
    connection: AsyncConnection, org_id: str, contact_id: UUID, phone_number_id: str
) -> sa.Row[Any] | None:
    """Return phone_number_id and message_time of what was last received from a contact.

    phone_number_id: which number of ours; empty means any. None when nothing ever was.
    """
    parameters = {
        "org_id": org_id,
        "contact_id": contact_id,
        "phone_number_id": phone_number_id,
    }
    return (await connection.execute(statement("conversation/window"), parameters)).one_or_none()


async def _settled(connection: AsyncConnection, org_id: str, row: sa.Row[Any]) -> sa.Row[Any]:
    span = (row.first_message_time, row.last_message_time)
    touched = Touched(row.contact_id, row.phone_number_id, *span, sent=False)
    await settle(connection, org_id, [touched])
    await keep_contacts(connection, org_id, [row.contact_id])
    return await get(connection, org_id, row.id)
