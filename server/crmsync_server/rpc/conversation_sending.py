"""What SendMessage puts into the outbox: to whom, from which number, and whether it may."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import conversation_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_server.errors import InvalidRequestError, TemplateRequiredError, Violation
from crmsync_server.store import contact, conversation, message, outbox, sender, whatsapp
from crmsync_server.store.ids import new_id
from crmsync_server.store.message import Message
from crmsync_server.store.states import MessageDirection, MessageStatus

# E.164 allows 15 digits; a country code begins with none.
_NUMBER = re.compile(r"[1-9][0-9]{4,14}")
_PHONE = re.compile(r"[+0-9][0-9 ().\-/]*")


class _Recipient(NamedTuple):
    contact_id: UUID
    wa_id: str


async def queue(
    connection: AsyncConnection,
    org_id: str,
    request: pb.SendMessageRequest,
    account: conversation_pb2.WhatsAppAccount,
    now: datetime,
) -> UUID:
    """Put a message into the outbox and return its id.

    Raises:
        InvalidRequestError: a number that is none, or none of the account's.
        ContactNotFoundError: the organization has no such contact.
        TemplateRequiredError: free text outside the window.
    """
    await whatsapp.lock(connection, org_id)
    recipient = await _recipient(connection, org_id, request)
    number = request.phone_number_id
    if number and all(one.id != number for one in account.phone_numbers if one.is_active):
        told = "must be an active phone number of the account"
        raise InvalidRequestError([Violation("phone_number_id", "phone_number", told)])
    heard = await conversation.window(connection, org_id, recipient.contact_id, number)
    number = number or _usual(account, heard.phone_number_id if heard else "")
    if heard is not None and heard.phone_number_id != number:
        heard = None  # written to a number that cannot be sent from any more
    if request.WhichOneof("content") == "text":
        ended = heard.message_time + conversation.WINDOW if heard is not None else None
        if ended is None or ended <= now:
            told = ended.isoformat().replace("+00:00", "Z") if ended else ""
            raise TemplateRequiredError(str(recipient.contact_id), told)
    return await _put(connection, org_id, request, recipient, number, now)


async def _put(
    connection: AsyncConnection,
    org_id: str,
    request: pb.SendMessageRequest,
    recipient: _Recipient,
    number: str,
    now: datetime,
) -> UUID:
    message_id, content = new_id(), _content(request)
    said = Message(
        id=message_id,
        whatsapp_id="",
        contact_id=recipient.contact_id,
        phone_number_id=number,
        direction=MessageDirection.OUTGOING,
        type="template" if "template" in content else "text",
        text=request.text,
        payload=content,
        status=MessageStatus.QUEUED,
        message_time=now,
    )
    added = await message.insert(connection, org_id, [said])
    await outbox.insert(connection, org_id, message_id, (number, recipient.wa_id), content)
    await message.settle(connection, org_id, added)
    return message_id


async def _recipient(
    connection: AsyncConnection, org_id: str, request: pb.SendMessageRequest
) -> _Recipient:
    if request.WhichOneof("recipient") == "phone":
        wa_id = _wa_id(
            request.phone.strip(), "phone", "must be a phone number such as +919876543210"
        )
        found = await sender.contacts(connection, org_id, {wa_id: ""})
        return _Recipient(found[wa_id], wa_id)
    contact_id = UUID(request.contact_id)
    row = await contact.get(connection, org_id, contact_id)
    known = await whatsapp.number_of(connection, org_id, contact_id)
    if known is not None:
        return _Recipient(contact_id, known)
    lacking = "must be a contact with a phone number in its international form"
    if not row.phone.strip() and await whatsapp.hides(connection, org_id, contact_id):
        lacking = "is a contact who hides their phone number: messages are sent to numbers alone"
    wa_id = _wa_id(row.phone.strip(), "contact_id", lacking)
    await whatsapp.know(connection, org_id, [(wa_id, contact_id)])
    return _Recipient(contact_id, wa_id)


def _wa_id(phone: str, field: str, description: str) -> str:
    wa_id = sender.digits(phone)
    if not (_PHONE.fullmatch(phone) and _NUMBER.fullmatch(wa_id)):
        raise InvalidRequestError([Violation(field, "phone", description)])
    return wa_id


def _usual(account: conversation_pb2.WhatsAppAccount, heard: str) -> str:
    """Return the number that a contact wrote to, if it is active, or else the first active one."""
    active = [one.id for one in account.phone_numbers if one.is_active]
    return heard if heard in active else active[0]


def _content(request: pb.SendMessageRequest) -> Mapping[str, object]:
    if request.WhichOneof("content") == "text":
        return {"text": request.text}
    template = request.template
    return {
        "template": {
            "name": template.name,
            "language": template.language,
            "body_parameters": list(template.body_parameters),
        }
    }
