"""What webhooks told is worked off: in any order, however often, to the same end."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crmsync_server.crm.messaging import Change, Fault, FaultKind, Incoming, Sender, StatusTold
from crmsync_server.crm.messaging_changes import change_of, key_of, written
from crmsync_server.store import message, sender, whatsapp
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.message import Message
from crmsync_server.store.states import MessageDirection, MessageStatus
from crmsync_server.store.whatsapp import Told
from crmsync_server.sync.absorb_messages import absorb
from crmsync_server.sync.messages import Messages
from tests.eventually import eventually
from tests.postgres import Postgres
from tests.store.chats import ADA, BOB, NOW, NUMBER, ORG, OTHER_NUMBER, account, ago, broken

CONTACTS = (ADA, BOB, "33612345678")
SENT_IDS = ("out.1", "out.2", "out.3")


def received(
    wa_id: str, time: datetime, *, number: str = NUMBER, key: str = "", kind: str = "text"
) -> Change:
    """Return a change with one message."""
    name = key or f"wamid.{wa_id}.{time.timestamp():.0f}"
    told = Incoming(name, wa_id, kind, name, time, {"id": name})
    return Change(number, "waba", [Sender(wa_id, f"Name {wa_id}")], [told])


def status(whatsapp_id: str, word: str, time: datetime) -> Change:
    """Return a change with one status and no contact."""
    errors = [Fault(FaultKind.NEVER, 131047, "too late")] if word == "failed" else []
    return Change(NUMBER, "waba", statuses=[StatusTold(whatsapp_id, word, time, ADA, errors)])


def told(*changes: Change) -> Sequence[Told]:
    """Return changes as the inbox keeps them."""
    texts = [written(one) for one in changes]
    return [Told(ORG, key_of(text), text) for text in texts]


async def keep(database: Database, *changes: Change) -> None:
    """Put changes into the inbox."""
    async with database.everyone() as connection:
        await whatsapp.insert(connection, told(*changes))


@asynccontextmanager
async def working(database: Database) -> AsyncIterator[Messages]:
    """Run the duty."""
    duty = Messages(database, lambda _: None, poll_interval=0.2)
    duty.start()
    try:
        yield duty
    finally:
        await duty.stop()


async def nothing_waits(database: Database) -> None:
    """AssertionError until everything is worked off."""
    async with database.everyone() as connection:
        assert await whatsapp.count_waiting(connection) == 0


async def state(database: Database) -> Sequence[Sequence[Any]]:
    """Return everything that anybody sees of conversations, but for ids that a clock gave."""
    asked = (
        """SELECT c.phone, c.name, v.phone_number_id, v.status, v.message_count, v.unread_count,
             v.first_message_time, v.last_message_time, v.last_incoming_time, v.last_message,
             v.close_time
           FROM conversations v JOIN contacts c ON c.org_id = v.org_id AND c.id = v.contact_id
           ORDER BY c.phone, v.phone_number_id, v.first_message_time""",
        """SELECT m.whatsapp_id, m.status, m.type, m.text, m.response_time, m.error,
             v.first_message_time
           FROM messages m JOIN conversations v ON v.org_id = m.org_id AND v.id = m.conversation_id
           ORDER BY m.whatsapp_id""",
        "SELECT phone, unread_count, last_message_time FROM contacts ORDER BY phone",
        """SELECT day, sent, received, new_contacts, last_contacts, answers, response_time
           FROM message_days WHERE (sent, received, new_contacts, last_contacts, answers)
             IS DISTINCT FROM (0, 0, 0, 0, 0) ORDER BY day""",
        "SELECT status, total FROM conversation_counts WHERE total <> 0 ORDER BY status",
    )
    async with database.org(ORG) as connection:
        return [(await connection.execute(sa.text(one))).all() for one in asked]


async def send(database: Database) -> None:
    """Keep three messages that were sent to Ada, as the outbox does."""
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        contact_id = (await sender.contacts(connection, ORG, {ADA: ""}))[ADA]
        messages = [
            Message(
                message.id_of(ORG, whatsapp_id, ago(hours=hours)),
                whatsapp_id,
                contact_id,
                NUMBER,
                MessageDirection.OUTGOING,
                "text",
                whatsapp_id,
                {},
                MessageStatus.SENT,
                ago(hours=hours),
            )
            for whatsapp_id, hours in zip(SENT_IDS, (60, 30, 2), strict=True)
        ]
        added = await message.insert(connection, ORG, messages)
        await message.settle(connection, ORG, added)


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await account(database)


async def test_what_was_told_is_worked_off(database: Database) -> None:
    """And nothing of it twice."""
    await keep(database, received(ADA, ago(hours=2)), received(BOB, ago(hours=1), kind="hologram"))
    async with working(database):
        await eventually(lambda: nothing_waits(database))
    first = await state(database)
    assert [row.message_count for row in first[0]] == [1, 1]
    assert {row.last_message for row in first[0]} >= {f"wamid.{ADA}.{ago(hours=2).timestamp():.0f}"}
    async with database.everyone() as connection:
        again = told(received(ADA, ago(hours=2)))
        assert await whatsapp.insert(connection, again) == set()
    assert await broken(database) == []


async def test_two_at_a_time_work_off_one_inbox(database: Database, database_url: str) -> None:
    """Two replicas: every message once, and every sum right."""
    changes = [
        received(f"4915100{number % 20:04}", ago(minutes=number), key=f"wamid.{number}")
        for number in range(1200)
    ]
    await keep(database, *changes)
    other = Database(database_url, Pool(size=5))
    async with working(database), working(other):
        await eventually(lambda: nothing_waits(database), within=30)
    await other.close()
    assert sum(row.message_count for row in (await state(database))[0]) == 1200
    assert await broken(database) == []


async def test_what_is_told_again_while_it_is_worked_off_does_not_wait(database: Database) -> None:
    """Meta wants its answer soon; beside it something new is kept."""
    first, second = received(ADA, ago(hours=2)), received(BOB, ago(hours=1))
    await keep(database, first)
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        assert len(await whatsapp.take(connection, ORG, size=10)) == 1
        async with asyncio.timeout(5), database.everyone() as other:
            new = await whatsapp.insert(other, told(first, second))
    assert new == {(ORG, told(second)[0].key)}


async def test_what_comes_while_an_organization_rests_is_worked_off_together(
    database: Database,
) -> None:
    """Soon after, without a poll."""
    batches: list[str] = []
    duty = Messages(database, batches.append, poll_interval=60)
    duty.start()
    await keep(database, received(ADA, ago(hours=2)))
    duty.wake(f"{ORG}/messages")
    await eventually(lambda: nothing_waits(database))
    for number in range(20):
        await keep(database, received(BOB, ago(minutes=number)))
        duty.wake(f"{ORG}/messages")
    await eventually(lambda: nothing_waits(database))
    await duty.stop()
    assert len(batches) < 20
    assert sum(row.message_count for row in (await state(database))[0]) == 21


async def test_what_cannot_be_taken_in_holds_nothing_else_up(database: Database) -> None:
    """It is set aside, and stays in the inbox for a doubt at night."""
    await keep(database, received(ADA, ago(hours=2)))
    async with database.everyone() as connection:
        await whatsapp.insert(connection, [Told(ORG, b"bad", '{"messages": [{"id": 7}]}')])
    await keep(database, received(BOB, ago(hours=1)))
    async with working(database):
        await eventually(lambda: nothing_waits(database), within=20)
    assert len((await state(database))[0]) == 2
    assert await broken(database) == []


async def test_a_status_waits_for_its_message(database: Database) -> None:
    """And is told of it when it is there."""
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await absorb(connection, ORG, [status("out.1", "read", ago(minutes=1))])
    await send(database)
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await message.advance(connection, ORG, ["out.1"])
    statuses = {row.whatsapp_id: row.status for row in (await state(database))[1]}
    assert statuses == {"out.1": "READ", "out.2": "SENT", "out.3": "SENT"}


def test_a_change_is_written_and_read_as_it_was() -> None:
    """With everything that it tells."""
    for change in (
        received(ADA, ago(hours=1), kind="hologram"),
        status("out.1", "failed", ago(hours=1)),
        Change("", "waba", business_id="business"),
    ):
        assert written(change_of(json.loads(written(change)))) == written(change)


def days(chosen: random.Random) -> Iterator[Change]:
    """Yield what three people and Meta tell within some days, in its order."""
    for wa_id in CONTACTS:
        time = NOW - timedelta(hours=100)
        while time < NOW:
            number = chosen.choice((NUMBER, NUMBER, OTHER_NUMBER))
            yield received(wa_id, time, number=number)
            time += timedelta(hours=chosen.choice((0, 0.5, 3, 20, 24, 24.5, 40)), seconds=1)
    for whatsapp_id in SENT_IDS:
        for word in chosen.sample(("sent", "delivered", "read", "failed"), 3):
            yield status(whatsapp_id, word, NOW)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32))
def test_any_order_and_repetition_ends_as_the_clean_order(
    postgres: Postgres, template: str, seed: int
) -> None:
    """In batches of any size, told before or after what was sent is there."""
    with asyncio.Runner() as runner:
        runner.run(_compare(postgres, template, random.Random(seed)))  # noqa: S311 - repeatable


async def _compare(postgres: Postgres, template: str, chosen: random.Random) -> None:
    clean = list(days(chosen))
    muddled = clean + chosen.sample(clean, len(clean) // 2)
    chosen.shuffle(muddled)
    ends = []
    for changes, size, sends_at in (
        (clean, 1000, 0),
        (muddled, chosen.randint(1, 9), chosen.randrange(len(muddled))),
    ):
        async with postgres.database(template) as url:
            database = Database(url, Pool(size=2))
            await account(database)
            ends.append(await _told(database, changes, size, sends_at))
            await database.close()
    assert ends[0] == ends[1]


async def _told(
    database: Database, changes: Sequence[Change], size: int, sends_at: int
) -> Sequence[Sequence[Any]]:
    sent = False
    for start in range(0, len(changes), size):
        if not sent and start + size > sends_at:
            await send(database)
            sent = True
        async with database.org(ORG) as connection:
            await whatsapp.lock(connection, ORG)
            await absorb(connection, ORG, changes[start : start + size])
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await message.advance(connection, ORG, SENT_IDS)
    assert await broken(database) == []
    return await state(database)
