"""Taking in what webhooks told of messages: the same in whatever order, and however often."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.messaging import LONGEST_DETAIL, Change, Incoming, StatusTold
from crmsync_server.store import message, sender, whatsapp
from crmsync_server.store.message import Message, Status
from crmsync_server.store.states import MessageDirection, MessageStatus

UNKNOWN_SENDER = "unknown"
"""Who is behind every message whose sender was not told; no number of anybody's."""

_UNKNOWN_NAME = "Unknown sender"
_LONGEST_ID = 200
_LONGEST_SENDER = 140
_LONGEST_TYPE = 100

_log = structlog.get_logger()


async def absorb(connection: AsyncConnection, org_id: str, changes: Sequence[Change]) -> None:
    """Take changes in, with the account locked; see store.whatsapp."""
    for business_id in {one.business_id for one in changes if one.business_id}:
        await whatsapp.owned(connection, org_id, business_id)
    said = [(one, change) for change in changes for one in change.messages]
    touched = []
    if said:
        names, user_ids = _names(changes, said), _user_ids(changes)
        contact_ids = await sender.contacts(connection, org_id, names, user_ids)
        received = [_message(org_id, one, change, contact_ids[_from(one)]) for one, change in said]
        touched = [*await message.insert(connection, org_id, received)]
        if unknown := sum(_from(one) == UNKNOWN_SENDER for one, _ in said):
            _log.warning("messages came whose sender is not told", org_id=org_id, count=unknown)
    if told := [*_statuses(changes)]:
        await message.tell(connection, org_id, told)
    if lost := sum(len(one.statuses) for one in changes) - len(told):
        _log.warning("statuses that name no message are left out", org_id=org_id, count=lost)
    await message.settle(connection, org_id, touched)


def _from(one: Incoming) -> str:
    """Return whom a message is from; those that name nobody are together those of one sender."""
    return one.from_ if 0 < len(one.from_) <= _LONGEST_SENDER else UNKNOWN_SENDER


def _names(changes: Sequence[Change], said: Sequence[tuple[Incoming, Change]]) -> Mapping[str, str]:
    """Return who has written, with the names of profiles where they were told."""
    names = {_from(one): "" for one, _ in said}
    for one in chain.from_iterable(change.contacts for change in changes):
        if one.wa_id in names and one.name:
            names[one.wa_id] = one.name
    if UNKNOWN_SENDER in names:
        names[UNKNOWN_SENDER] = _UNKNOWN_NAME
    return names


def _user_ids(changes: Sequence[Change]) -> Mapping[str, str]:
    """Return the ids that stay when numbers are hidden, by number."""
    every = chain.from_iterable(change.contacts for change in changes)
    return {one.wa_id: one.user_id for one in every if one.user_id}


def _id(one: Incoming) -> str:
    """Return what a message is known by when it is told again: without an id, its content."""
    if 0 < len(one.whatsapp_id) <= _LONGEST_ID:
        return one.whatsapp_id
    content = json.dumps(one.payload, sort_keys=True).encode()
    return f"unnamed.{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _message(org_id: str, one: Incoming, change: Change, contact_id: UUID) -> Message:
    whatsapp_id = _id(one)
    return Message(
        id=message.id_of(org_id, whatsapp_id, one.time),
        whatsapp_id=whatsapp_id,
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
