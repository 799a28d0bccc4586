"""Senders: which contacts are behind numbers of WhatsApp's, made where there are none."""

import re
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact, conversation, whatsapp
from crmsync_server.store.content import Content
from crmsync_server.store.ids import new_ids

_LONGEST_NAME = 200  # characters, as the contract has it
_NO_DIGITS = re.compile(r"^00|[^0-9]")


def digits(phone: str) -> str:
    """Return a phone number as WhatsApp writes it: digits of the international form alone."""
    return _NO_DIGITS.sub("", phone)


async def contacts(
    connection: AsyncConnection, org_id: str, names: Mapping[str, str]
) -> Mapping[str, UUID]:
    """Return the contact behind each number, with the account locked; see store.whatsapp.

    One that has that phone number is taken, or else made.

    names: by number, as profiles have them; they may be empty. A contact without a name gets it.
    """
    rows = await whatsapp.people(connection, org_id, sorted(names))
    found = {row.wa_id: row.contact_id for row in rows}
    missing = [wa_id for wa_id in sorted(names) if wa_id not in found]
    made = dict(zip(missing, new_ids(len(missing)), strict=True)) if missing else {}
    if made:
        drafts = [
            (contact_id, Content(name=_name(names[wa_id]), phone=_phone(wa_id)))
            for wa_id, contact_id in made.items()
        ]
        await contact.insert(connection, org_id, drafts)
    fresh = [(row.wa_id, row.contact_id) for row in rows if not row.known]
    if fresh or made:
        await whatsapp.know(connection, org_id, [*fresh, *made.items()])
    nameless = {
        row.contact_id: name for row in rows if row.nameless and (name := _name(names[row.wa_id]))
    }
    await conversation.lock_contacts(connection, org_id, sorted(found.values()))
    if nameless:
        await _name_them(connection, org_id, nameless)
    return found | made


async def _name_them(connection: AsyncConnection, org_id: str, names: Mapping[UUID, str]) -> None:
    rows = await contact.lock(connection, org_id, sorted(names))
    drafts = [(row.id, Content.of(row)._replace(name=names[row.id])) for row in rows]
    if drafts:
        await contact.write(connection, org_id, drafts)


def _name(told: str) -> str:
    return told.strip()[:_LONGEST_NAME]


def _phone(wa_id: str) -> str:
    return f"+{wa_id}" if wa_id.isascii() and wa_id.isdecimal() else ""
