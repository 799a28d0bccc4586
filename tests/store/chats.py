"""Messages of an organization, as its webhooks tell them, for tests of the store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.store import message, sender, whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.invariants import violations
from crmsync_server.store.message import Message
from crmsync_server.store.states import MessageDirection, MessageStatus
from crmsync_server.store.whatsapp import Number

ORG = "acme"
NUMBER = "1055501"
OTHER_NUMBER = "1055502"
ADA = "919876543210"
BOB = "4915112345678"
NOW = datetime.now(UTC).replace(microsecond=0)

IN, OUT = MessageDirection.INCOMING, MessageDirection.OUTGOING


def ago(**parts: float) -> datetime:
    """Return a moment so long ago."""
    return NOW - timedelta(**parts)


async def account(database: Database, org_id: str = ORG) -> None:
    """Connect an account with two numbers."""
    async with database.org(org_id) as connection:
        await whatsapp.connect(connection, org_id, waba_id="waba", business_id="business")
        numbers = [
            Number(NUMBER, "+1 555 01", "Acme", "green", is_active=True, verified=True),
            Number(OTHER_NUMBER, "+1 555 02", "Acme", "green", is_active=True, verified=True),
        ]
        await whatsapp.found(connection, org_id, ("Acme", "", ""), numbers)


async def say(
    database: Database,
    *said: tuple[datetime, str, MessageDirection],
    wa_id: str = ADA,
    number: str = NUMBER,
    name: str = "",
) -> UUID:
    """Keep messages (time, text, direction) of one contact; return the contact's id.

    A message's text is its id at WhatsApp too, for those that are received.
    """
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        contact_id = (await sender.contacts(connection, ORG, {wa_id: name}))[wa_id]
        messages = [
            Message(
                id=message.id_of(ORG, text, time) if direction is IN else new_id(),
                whatsapp_id=text,
                contact_id=contact_id,
                phone_number_id=number,
                direction=direction,
                type="text",
                text=text,
                payload={},
                status=MessageStatus.DELIVERED if direction is IN else MessageStatus.SENT,
                message_time=time,
            )
            for time, text, direction in said
        ]
        added = await message.insert(connection, ORG, messages)
        await message.settle(connection, ORG, added)
    return contact_id


async def rows(database: Database, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
    """Read the organization's rows."""
    async with database.org(ORG) as connection:
        return (await connection.execute(sa.text(text), parameters)).all()


async def conversations(database: Database) -> Sequence[sa.Row[Any]]:
    """Return every conversation, the earliest first."""
    return await rows(database, "SELECT * FROM conversations ORDER BY first_message_time, id")


async def broken(database: Database) -> Sequence[sa.Row[Any]]:
    """Return every promise that the database breaks."""
    async with database.everyone() as connection:
        return await violations(connection)
