"""Conversations follow from messages: opened, closed, counted, read."""

from datetime import timedelta

import pytest

from crmsync_server.errors import ConversationNotFoundError
from crmsync_server.store import contact, conversation, message, whatsapp
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.message import Status
from tests.store.chats import (
    ADA,
    BOB,
    IN,
    NUMBER,
    ORG,
    OTHER_NUMBER,
    OUT,
    account,
    ago,
    broken,
    conversations,
    rows,
    say,
)


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await account(database)


async def test_the_first_message_opens_a_conversation_and_the_next_one_goes_on(
    database: Database,
) -> None:
    """With its contact, who is made of the number and the profile's name."""
    contact_id = await say(database, (ago(hours=2), "Hi", IN), name="Ada")
    await say(database, (ago(hours=1), "Hello", OUT), (ago(minutes=5), "Help!", IN))
    [row] = await conversations(database)
    assert (row.status, row.message_count, row.unread_count) == ("OPEN", 3, 1)
    assert (row.last_message, row.last_message_time) == ("Help!", ago(minutes=5))
    assert (row.first_message_time, row.last_incoming_time) == (ago(hours=2), ago(minutes=5))
    async with database.org(ORG) as connection:
        ada = await contact.get(connection, ORG, contact_id)
    assert (ada.name, ada.phone, ada.unread_count) == ("Ada", f"+{ADA}", 1)
    assert ada.last_message_time == ago(minutes=5)
    assert await broken(database) == []


async def test_a_contact_with_that_phone_number_is_used(database: Database) -> None:
    """However the number is written; its own name stays, and an empty one is filled in."""
    async with database.org(ORG) as connection:
        known, nameless = new_id(), new_id()
        await contact.insert(
            connection,
            ORG,
            [
                (known, Content(name="Ada King", phone="+91 98765-43210")),
                (nameless, Content(phone="0049 1511 2345678")),
            ],
        )
    assert await say(database, (ago(hours=2), "Hi", IN), name="ada") == known
    assert await say(database, (ago(hours=1), "Ho", IN), wa_id=BOB, name="Bob") == nameless
    async with database.org(ORG) as connection:
        assert (await contact.get(connection, ORG, known)).name == "Ada King"
        assert (await contact.get(connection, ORG, nameless)).name == "Bob"


async def test_a_pause_of_a_day_ends_a_conversation(database: Database) -> None:
    """And a message into the pause makes one of two; the earlier one's id stays."""
    await say(database, (ago(hours=60), "a", IN))
    await say(database, (ago(hours=20), "b", IN))
    first, second = await conversations(database)
    assert (first.status, first.close_time) == ("CLOSED", ago(hours=36))
    assert second.status == "OPEN"
    await say(database, (ago(hours=40), "between", OUT))
    [row] = await conversations(database)
    assert (row.id, row.status, row.message_count) == (first.id, "OPEN", 3)
    assert row.unread_count == 1
    assert await broken(database) == []


async def test_each_number_of_ours_has_conversations_of_its_own(database: Database) -> None:
    """With the same contact."""
    await say(database, (ago(hours=2), "a", IN))
    await say(database, (ago(hours=1), "b", IN), number=OTHER_NUMBER)
    assert [one.phone_number_id for one in await conversations(database)] == [NUMBER, OTHER_NUMBER]
    [row] = await rows(database, "SELECT unread_count FROM contacts")
    assert row.unread_count == 2
    assert await broken(database) == []


async def test_a_closed_conversation_stays_closed_and_the_next_message_opens_another(
    database: Database,
) -> None:
    """One that comes late goes where it belongs; closing again changes nothing."""
    await say(database, (ago(hours=2), "a", IN))
    [row] = await conversations(database)
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        closed = await conversation.close(connection, ORG, row.id)
        again = await conversation.close(connection, ORG, row.id)
    assert closed.status == "CLOSED"
    assert again.close_time == closed.close_time
    await say(database, (ago(hours=1), "late", IN))
    [row] = await conversations(database)
    assert (row.status, row.message_count) == ("CLOSED", 2)
    await say(database, (closed.close_time + timedelta(seconds=2), "new", IN))
    before, after = await conversations(database)
    assert (before.status, after.status) == ("CLOSED", "OPEN")
    assert await broken(database) == []


async def test_what_was_read_here_is_not_unread_but_what_comes_late_is(database: Database) -> None:
    """However old it is."""
    await say(database, (ago(hours=2), "a", IN), (ago(hours=1), "b", IN))
    [row] = await conversations(database)
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        read = await conversation.mark_read(connection, ORG, row.id)
    assert read.unread_count == 0
    await say(database, (ago(minutes=90), "late", IN))
    [row] = await conversations(database)
    assert row.unread_count == 1
    [row] = await rows(database, "SELECT unread_count FROM contacts")
    assert row.unread_count == 1
    assert await broken(database) == []


async def test_whoever_answers_has_read_what_is_closed_too(database: Database) -> None:
    """An answer of today clears what was unread the day before yesterday."""
    await say(database, (ago(hours=60), "a", IN))
    await say(database, (ago(hours=1), "sorry", OUT))
    assert [one.unread_count for one in await conversations(database)] == [0, 0]
    assert await broken(database) == []


async def test_conversations_that_ran_out_are_closed(database: Database) -> None:
    """By the time that has passed, without a message."""
    await say(database, (ago(hours=2), "a", IN))
    async with database.org(ORG) as connection:
        assert await conversation.end_due(connection, ORG, size=10) == 0
    await rows(
        database,
        "UPDATE messages SET message_time = message_time - interval '23 hours' RETURNING id",
    )
    await rows(
        database,
        "UPDATE conversations SET first_message_time = first_message_time - interval '23 hours',"
        " last_message_time = last_message_time - interval '23 hours',"
        " last_incoming_time = last_incoming_time - interval '23 hours' RETURNING id",
    )
    async with database.everyone() as connection:
        assert await conversation.due(connection) == [ORG]
    async with database.org(ORG) as connection:
        assert await conversation.end_due(connection, ORG, size=10) == 1
        counts = await conversation.counts(connection, ORG)
    [row] = await conversations(database)
    assert (row.status, row.close_time) == ("CLOSED", ago(hours=1))
    assert counts == {"OPEN": 0, "CLOSED": 1}


async def test_answers_are_timed_from_the_first_unanswered_message(database: Database) -> None:
    """An earlier question that comes late makes the wait longer; a failed answer is none."""
    await say(database, (ago(minutes=50), "q1", IN), (ago(minutes=40), "q2", IN))
    await say(database, (ago(minutes=30), "a1", OUT), (ago(minutes=20), "a2", OUT))
    assert await waits(database) == {"a1": 20, "a2": None}
    await say(database, (ago(minutes=60), "q0", IN))
    assert await waits(database) == {"a1": 30, "a2": None}
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await message.tell(connection, ORG, [Status("a1", "failed", ago(minutes=1), None, {})])
    assert await waits(database) == {"a1": None, "a2": 40}
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await message.tell(connection, ORG, [Status("a1", "delivered", ago(minutes=1))])
    assert await waits(database) == {"a1": 30, "a2": None}
    assert await broken(database) == []


async def test_statuses_move_forward_only(database: Database) -> None:
    """Whatever is told after a later one changes nothing; a failure before a delivery neither."""
    await say(database, (ago(minutes=30), "x", OUT))
    for told, expected in (
        ("read", "READ"),
        ("delivered", "READ"),
        ("sent", "READ"),
        ("failed", "READ"),
        ("played", "READ"),
    ):
        async with database.org(ORG) as connection:
            await whatsapp.lock(connection, ORG)
            await message.tell(connection, ORG, [Status("x", told, ago(minutes=1))])
        [row] = await rows(database, "SELECT status FROM messages")
        assert row.status == expected
    assert await broken(database) == []


async def test_an_unknown_conversation_is_not_found(database: Database) -> None:
    """By its id."""
    async with database.org(ORG) as connection:
        with pytest.raises(ConversationNotFoundError):
            await conversation.close(connection, ORG, new_id())


async def waits(database: Database) -> dict[str, float | None]:
    """Return the minutes that each sent message answers after."""
    found = await rows(
        database,
        "SELECT text, extract(epoch FROM response_time) / 60 AS minutes FROM messages"
        " WHERE direction = 'OUTGOING'",
    )
    return {row.text: None if row.minutes is None else float(row.minutes) for row in found}
