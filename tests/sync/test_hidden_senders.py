"""Messages whose sender hides their number, or is not told at all: none of them is lost."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.crm.messaging import Change, Incoming, Sender
from crmsync_server.store import whatsapp
from crmsync_server.store.db import Database
from crmsync_server.sync.absorb_messages import absorb
from tests.store.chats import ADA, BOB, NUMBER, ORG, account, ago, broken, rows

HIDDEN = "US.13491208655302741918"


def said(
    name: str,
    from_: str = "",
    *contacts: Sender,
    time: datetime | None = None,
    number: str = NUMBER,
) -> Change:
    """Return a change with one message, whose text is its name."""
    told = Incoming(name, from_, "text", name, time or ago(hours=1), {"id": name, "from": from_})
    return Change(number, "waba", contacts, [told])


async def take_in(database: Database, *changes: Change) -> None:
    """Take changes in by one transaction."""
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await absorb(connection, ORG, changes)


async def senders(database: Database) -> Sequence[sa.Row[Any]]:
    """Return who has sent how many messages."""
    return await rows(
        database,
        """SELECT c.name, c.phone, count(*) AS messages
           FROM messages m JOIN contacts c ON c.org_id = m.org_id AND c.id = m.contact_id
           GROUP BY c.id, c.name, c.phone ORDER BY min(m.text)""",
    )


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await account(database)


async def test_who_hides_their_number_has_a_contact_without_one(database: Database) -> None:
    """The same for all that they write, and not that of somebody else who does."""
    ada, bob = Sender(HIDDEN, "Ada"), Sender("GB.2", "Bob")
    await take_in(database, said("1", HIDDEN, ada), said("2", "GB.2", bob))
    await take_in(database, said("3", HIDDEN, ada))
    assert [tuple(one) for one in await senders(database)] == [("Ada", "", 2), ("Bob", "", 1)]
    assert await broken(database) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
async def test_who_hides_their_number_and_shows_it_is_one_person(
    database: Database, order: tuple[int, int], *, together: bool
) -> None:
    """Whichever came first: the id that stays is told besides the number."""
    hidden = said("1", HIDDEN, Sender(HIDDEN, "Ada"))
    shown = said("2", ADA, Sender(ADA, "Ada", HIDDEN))
    changes = [(hidden, shown)[place] for place in order]
    for some in [changes] if together else [[one] for one in changes]:
        await take_in(database, *some)
    [found] = await senders(database)
    assert (found.name, found.messages) == ("Ada", 2)
    assert await broken(database) == []


async def test_messages_whose_sender_is_not_told_are_those_of_an_unknown_one(
    database: Database,
) -> None:
    """They are counted and listed like any other, in one conversation; nobody is found by it."""
    nobody = Change(NUMBER, "waba", (), [Incoming("4", "x" * 141, "text", "4", ago(hours=1))])
    await take_in(database, said("1"), said("2", BOB), said("3"), nobody)
    await take_in(database, said("1"))
    found = [(one.name, one.phone, one.messages) for one in await senders(database)]
    assert found == [("Unknown sender", "", 3), ("", f"+{BOB}", 1)]
    [unknown] = await rows(
        database, "SELECT contact_id, unread_count FROM conversations WHERE message_count = 3"
    )
    assert unknown.unread_count == 3
    async with database.org(ORG) as connection:
        assert await whatsapp.number_of(connection, ORG, unknown.contact_id) is None
    [day] = await rows(database, "SELECT sum(received) AS received FROM message_days")
    assert day.received == 4
    assert await broken(database) == []


async def test_messages_without_an_id_are_kept_once_each(database: Database) -> None:
    """Told again they are known by what they say; without a number of ours they are kept too."""
    told = [
        Incoming("", ADA, "text", text, ago(hours=1), {"text": text, "from": ADA})
        for text in ("a", "b", "a")
    ]
    await take_in(database, Change(NUMBER, "waba", (), told))
    await take_in(database, Change(NUMBER, "waba", (), told), said("c", ADA, number=""))
    kept = await rows(database, "SELECT text, whatsapp_id FROM messages ORDER BY text")
    assert [one.text for one in kept] == ["a", "b", "c"]
    assert [one.whatsapp_id.startswith("unnamed.") for one in kept] == [True, True, False]
    assert await broken(database) == []


async def test_a_hidden_sender_is_told_by_several_replicas_as_one(database: Database) -> None:
    """Whichever of them takes a message in."""
    async with asyncio.TaskGroup() as group:
        for name in "1234":
            group.create_task(take_in(database, said(name, HIDDEN, Sender(HIDDEN, "Ada"))))
    [found] = await senders(database)
    assert found.messages == 4
