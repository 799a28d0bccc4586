"""Taking in what webhooks told of messages: the same in whatever order, and however often."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.messaging import LONGEST_DETAIL, Change, Incoming, StatusTold
from crmsync_server.store import message, sender, whatsapp
from crmsync_server.store.message import Message, Status
from crmsync_server.store.states import MessageDirection, MessageStatus

_LONGEST_ID = 200
_LONGEST_SENDER = 64
_LONGEST_TYPE = 100

_log = structlog.get_logger()


async def absorb(connection: AsyncConnection, org_id: str, changes: Sequence[Change]) -> None:
    """Take changes in, with the account locked; see store.whatsapp."""
    for business_id in {one.business_id for one in changes if one.business_id}:
        await whatsapp.owned(connection, org_id, business_id)
    said = [(one, change) for change in changes for one in change.messages if _fits(one, change)]
    if left_out := sum(len(one.messages) for one in changes) - len(said):
        _log.warning("messages without a usable id are left out", org_id=org_id, count=left_out)
    contact_ids: Mapping[str, UUID] = {}
    if said:
        contact_ids = await sender.contacts(connection, org_id, _names(changes, said))
    touched = []
    if said:
        received = [_message(org_id, one, change, contact_ids[one.from_]) for one, change in said]
        touched = [*await message.insert(connection, org_id, received)]
    if told := [*_statuses(changes)]:
        await message.tell(connection, org_id, told)
    await message.settle(connection, org_id, touched)


def _fits(one: Incoming, change: Change) -> bool:
    return bool(
        change.phone_number_id
        and 0 < len(one.whatsapp_id) <= _LONGEST_ID
        and 0 < len(one.from_) <= _LONGEST_SENDER
    )


def _names(changes: Sequence[Change], said: Sequence[tuple[Incoming, Change]]) -> Mapping[str, str]:
    """Return who has written, with the names of profiles where they were told."""
    names = {one.from_: "" for one, _ in said}
    for one in chain.from_iterable(change.contacts for change in changes):
        if one.wa_id in names and one.name:
            names[one.wa_id] = one.name
    return names


def _message(org_id: str, one: Incoming, change: Change, contact_id: UUID) -> Message:
    return Message(
        id=message.id_of(org_id, one.whatsapp_id, one.time),
        whatsapp_id=one.whatsapp_id,
        contact_id=contact_id,
        phone_number_id=change.phone_number_id,
        direction=MessageDirection.INCOMING,
        type=one.type[:_LONGEST_TYPE],
        text=one.text,
        payload=one.payload,
        status=MessageStatus.DELIVERED,
        message_time=one.time,
    )


def _statuses(changes: Sequence[Change]) -> Iterator[Status]:
    for one in chain.from_iterable(change.statuses for change in changes):
        if 0 < len(one.whatsapp_id) <= _LONGEST_ID and 0 < len(one.status) <= _LONGEST_TYPE:
            yield Status(
                one.whatsapp_id, one.status, one.time, _ours(one.callback_data), _error(one)
            )


def _ours(callback_data: str) -> UUID | None:
    try:
        return UUID(callback_data)
    except ValueError:
        return None


def _error(one: StatusTold) -> Mapping[str, object] | None:
    if not one.errors:
        return None
    first = one.errors[0]
    return {
        "code": first.code,
        "kind": str(first.kind),
        "message": first.message[:LONGEST_DETAIL],
        "trace_id": "",
    }
