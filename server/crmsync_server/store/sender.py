"""Senders: which contacts are behind numbers of WhatsApp's, made where there are none."""

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact, conversation, whatsapp
from crmsync_server.store.content import Content
from crmsync_server.store.ids import new_ids

Row: TypeAlias = sa.Row[Any]

_LONGEST_NAME = 200  # characters, as the contract has it
_NO_DIGITS = re.compile(r"^00|[^0-9]")


def digits(phone: str) -> str:
    """Return a phone number as WhatsApp writes it: digits of the international form alone."""
    return _NO_DIGITS.sub("", phone)


async def contacts(
    connection: AsyncConnection,
    org_id: str,
    names: Mapping[str, str],
    user_ids: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, UUID]:
    """Return the contact behind each number, with the account locked; see store.whatsapp.

    One that has that phone number is taken, or else made.

    names: by number, or by the id that stands for a hidden one, as profiles have them; they may be
    empty. A contact without a name gets it.
    user_ids: the ids that stay when numbers are hidden, by number: the same person is behind both.
    """
    user_ids = {wa_id: user_ids[wa_id] for wa_id in sorted(names) if wa_id in user_ids}
    rows = {
        row.wa_id: row
        for row in await whatsapp.people(connection, org_id, sorted({*names, *user_ids.values()}))
    }
    people = _people(names, user_ids, rows)
    made = await _made(connection, org_id, names, user_ids, people.keys())
    found = {wa_id: row.contact_id for wa_id, row in people.items()} | made
    behind = found | {user_id: found[wa_id] for wa_id, user_id in user_ids.items()}
    if fresh := [(one, behind[one]) for one in sorted(behind) if not _knows(rows, one, behind)]:
        await whatsapp.know(connection, org_id, fresh)
    nameless = {
        row.contact_id: name
        for wa_id, row in people.items()
        if row.nameless and (name := _name(names[wa_id]))
    }
    await conversation.lock_contacts(
        connection, org_id, sorted({row.contact_id for row in people.values()})
    )
    if nameless:
        await _name_them(connection, org_id, nameless)
    return found


def _people(
    names: Mapping[str, str], user_ids: Mapping[str, str], rows: Mapping[str, Row]
) -> dict[str, Row]:
    """Return who is known; where a number and a hidden one's id differ, the number counts."""
    found = {wa_id: rows[wa_id] for wa_id in names if wa_id in rows}
    for wa_id, user_id in user_ids.items():
        row = rows.get(wa_id) or rows.get(user_id)
        if row is not None:
            found[wa_id] = row
            if user_id in names:
                found[user_id] = row
    return found


def _knows(rows: Mapping[str, Row], wa_id: str, behind: Mapping[str, UUID]) -> bool:
    row = rows.get(wa_id)
    return row is not None and row.known and row.contact_id == behind[wa_id]


async def _made(
    connection: AsyncConnection,
    org_id: str,
    names: Mapping[str, str],
    user_ids: Mapping[str, str],
    known: Collection[str],
) -> dict[str, UUID]:
    """Make the contacts that there are not, one for each person."""
    persons: dict[str, list[str]] = {}
    for wa_id in sorted(names):
        if wa_id not in known:
            persons.setdefault(user_ids.get(wa_id, wa_id), []).append(wa_id)
    if not persons:
        return {}
    made = [*zip(new_ids(len(persons)), persons.values(), strict=True)]
    drafts = [
        (
            contact_id,
            Content(
                name=_name(_first(names[wa_id] for wa_id in wa_ids)),
                phone=_first(map(_phone, wa_ids)),
            ),
        )
        for contact_id, wa_ids in made
    ]
    await contact.insert(connection, org_id, drafts)
    return {wa_id: contact_id for contact_id, wa_ids in made for wa_id in wa_ids}


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


async def _name_them(connection: AsyncConnection, org_id: str, names: Mapping[UUID, str]) -> None:
    rows = await contact.lock(connection, org_id, sorted(names))
    drafts = [(row.id, Content.of(row)._replace(name=names[row.id])) for row in rows]
    if drafts:
        await contact.write(connection, org_id, drafts)


def _name(told: str) -> str:
    return told.strip()[:_LONGEST_NAME]


def _phone(wa_id: str) -> str:
    return f"+{wa_id}" if wa_id.isascii() and wa_id.isdecimal() else ""
