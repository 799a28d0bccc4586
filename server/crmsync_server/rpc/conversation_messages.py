"""Conversations: rows as messages."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import conversation_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.conversation import WINDOW
from crmsync_server.store.states import ConversationStatus

MessageView = pb.Message

_LONGEST_ERROR = 500


def message(row: sa.Row[Any], resume_token: str = "") -> pb.Message:
    """Turn a row of messages into its message."""
    error = row.error
    return pb.Message(
        id=str(row.id),
        conversation_id=str(row.conversation_id or ""),
        contact_id=str(row.contact_id),
        direction=pb.MessageDirection.Value(f"MESSAGE_DIRECTION_{row.direction}"),
        type=row.type,
        text=row.text,
        status=pb.MessageStatus.Value(f"MESSAGE_STATUS_{row.status}"),
        message_time=timestamp(row.message_time),
        whatsapp_id=row.whatsapp_id or "",
        error=None
        if error is None
        else pb.MessageError(
            code=int(error.get("code") or 0),
            kind=error.get("kind", ""),
            message=error.get("message", "")[:_LONGEST_ERROR],
            trace_id=error.get("trace_id", ""),
        ),
        resume_token=resume_token,
    )


def conversation(row: sa.Row[Any]) -> pb.Conversation:
    """Turn a row of conversations, with its contact's name, into its message."""
    received = row.last_incoming_time
    return pb.Conversation(
        id=str(row.id),
        contact_id=str(row.contact_id),
        contact_name=row.contact_name or "",
        status=pb.ConversationStatus.Value(f"CONVERSATION_STATUS_{row.status}"),
        last_message=row.last_message,
        last_message_time=timestamp(row.last_message_time),
        unread_count=row.unread_count,
        message_count=row.message_count,
        window_end_time=None if received is None else timestamp(received + WINDOW),
        create_time=timestamp(row.first_message_time),
        close_time=timestamp(row.close_time),
        phone_number_id=row.phone_number_id,
    )


def account(
    row: sa.Row[Any], numbers: Iterable[sa.Row[Any]], missing: Sequence[str]
) -> pb.WhatsAppAccount:
    """Turn a row of accounts and those of its phone numbers into its message."""
    status = pb.ACCOUNT_SYNC_STATUS_PENDING if missing else pb.ACCOUNT_SYNC_STATUS_SYNCED
    return pb.WhatsAppAccount(
        id=str(row.id),
        name=row.name,
        waba_id=row.waba_id,
        business_id=row.business_id,
        sync_status=pb.ACCOUNT_SYNC_STATUS_REFUSED if row.refused else status,
        missing=missing,
        phone_numbers=[
            pb.PhoneNumber(
                id=one.id,
                display_number=one.display_number,
                verified_name=one.verified_name,
                quality=one.quality,
                is_active=one.is_active,
                verified=one.verified,
            )
            for one in numbers
        ],
        last_sync_time=timestamp(row.sync_time),
        create_time=timestamp(row.create_time),
    )


def status_of(value: pb.ConversationStatus.ValueType) -> ConversationStatus | None:
    """Read a filter's status; None when it is unset."""
    if not value:
        return None
    return ConversationStatus(
        pb.ConversationStatus.Name(value).removeprefix("CONVERSATION_STATUS_")
    )
