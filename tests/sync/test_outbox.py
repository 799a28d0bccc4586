"""The outbox: at most once, in order for each recipient, and nobody waits for another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.crm.messaging import (
    AccountFound,
    Change,
    FaultKind,
    Outgoing,
    Refused,
    Scope,
    SendOutcome,
    Sent,
    SlowDown,
    Unanswered,
)
from crmsync_server.crm.questions import Trouble
from crmsync_server.crm.webhook import Inbound
from crmsync_server.store import message, outbox, sender, whatsapp
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.ids import new_id
from crmsync_server.store.message import Message, Status
from crmsync_server.store.states import MessageDirection, MessageStatus
from crmsync_server.sync.outbox import Outbox, Postman
from tests.eventually import eventually
from tests.store.chats import ADA, BOB, NOW, NUMBER, ORG, OTHER_NUMBER, account, broken, rows

Answer = Callable[[Outgoing], SendOutcome | Exception]


def _sent(message: Outgoing) -> SendOutcome:
    return Sent(f"wamid.{message.message_id}")


@dataclass
class Meta:
    """Messaging that answers as it is told, and knows what it was handed.

    begun: a call is under way. lets_go: calls go on.
    """

    answer: Answer = _sent
    handed: list[Outgoing] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    lets_go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Let calls go on."""
        self.lets_go.set()

    async def send(self, message: Outgoing) -> SendOutcome:
        """Answer."""
        self.handed.append(message)
        self.times.append(asyncio.get_running_loop().time())
        self.begun.set()
        await self.lets_go.wait()
        answer = self.answer(message)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def account(self) -> AccountFound | Trouble:
        """Not asked for here."""
        raise NotImplementedError

    def genuine(self, inbound: Inbound) -> bool:
        """Not asked for here."""
        raise NotImplementedError

    def challenge(self, params: Mapping[str, str]) -> str | None:
        """Not asked for here."""
        raise NotImplementedError

    def read(self, body: bytes) -> Sequence[Change]:
        """Not asked for here."""
        raise NotImplementedError


@asynccontextmanager
async def working(
    database: Database,
    meta: Meta | None,
    *,
    lease: timedelta = timedelta(seconds=30),
    per_second: float = 1000,
) -> AsyncIterator[Outbox]:
    """Run the duty."""

    async def messaging_of(org_id: str) -> Meta | None:
        assert org_id == ORG
        return meta

    postman = Postman(
        database, messaging_of, lambda: datetime.now(UTC), lambda _: None, lease, per_second
    )
    duty = Outbox(postman, poll_interval=0.2)
    duty.start()
    try:
        yield duty
    finally:
        await duty.stop()


async def put(database: Database, *texts: str, to: str = ADA, number: str = NUMBER) -> list[UUID]:
    """Put messages into the outbox."""
    ids = []
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        contact_id = (await sender.contacts(connection, ORG, {to: ""}))[to]
        for text in texts:
            ids.append(new_id())
            said = Message(
                ids[-1],
                "",
                contact_id,
                number,
                MessageDirection.OUTGOING,
                "text",
                text,
                {},
                MessageStatus.QUEUED,
                NOW,
            )
            added = await message.insert(connection, ORG, [said])
            await outbox.insert(connection, ORG, ids[-1], (number, to), {"text": text})
            await message.settle(connection, ORG, added)
    return ids


async def stands(database: Database, message_id: UUID, status: str) -> sa.Row[Any]:
    """Return a message; AssertionError until it has this status."""
    [row] = await rows(database, "SELECT * FROM messages WHERE id = :id", id=message_id)
    assert row.status == status
    return row


async def waiting(database: Database) -> int:
    """Return how many messages are in the outbox."""
    [row] = await rows(database, "SELECT count(*) AS found FROM message_outbox")
    return int(row.found)


@pytest.fixture(autouse=True)
async def _account(database: Database) -> AsyncIterator[None]:
    await account(database)
    yield
    assert await broken(database) == []


async def test_messages_to_one_recipient_go_in_order(database: Database) -> None:
    """One after the other, whatever the time that each takes."""
    texts = [f"{number}" for number in range(8)]
    ids, meta = await put(database, *texts), Meta()
    async with working(database, meta):
        row = await eventually(lambda: stands(database, ids[-1], "SENT"))
    assert [one.text for one in meta.handed] == texts
    assert row.whatsapp_id == f"wamid.{ids[-1]}"
    assert await waiting(database) == 0


async def test_two_replicas_send_each_message_once(database: Database, database_url: str) -> None:
    """However many recipients there are."""
    for number in range(40):
        await put(database, "a", "b", to=f"49151{number:07}")
    meta, other = Meta(), Database(database_url, Pool(size=5))
    async with working(database, meta), working(other, meta):

        async def nothing_waits() -> None:
            assert await waiting(database) == 0

        await eventually(nothing_waits, within=20)
    await other.close()
    assert len(meta.handed) == len({one.message_id for one in meta.handed}) == 80


async def test_a_number_keeps_its_rate(database: Database) -> None:
    """Over all replicas, as one point in time; another number has its own."""
    for number in range(30):
        await put(database, "x", to=f"49151{number:07}")
    [other] = await put(database, "y", number=OTHER_NUMBER)
    meta = Meta()
    async with working(database, meta, per_second=20):
        await eventually(lambda: stands(database, other, "SENT"))

        async def nothing_waits() -> None:
            assert await waiting(database) == 0

        await eventually(nothing_waits, within=20)
    mine = [time for one, time in zip(meta.handed, meta.times, strict=True) if one.text == "x"]
    # The first lot goes at once; after it 14 messages are due.
    assert mine[-1] - mine[0] > 14 / 20 - 0.2


@pytest.mark.parametrize(("per_second", "together"), [(0.5, 1), (4, 4), (80, 16)])
async def test_no_more_is_handed_over_at_a_time_than_a_second_has(
    database: Database, per_second: float, together: int
) -> None:
    """What a kill makes UNKNOWN stays small, however slow the number."""
    for number in range(20):
        await put(database, "hello", to=f"49151{number:08}")
    meta = Meta()
    meta.lets_go.clear()
    async with working(database, meta, per_second=per_second):
        await meta.begun.wait()
        marked = "SELECT 1 FROM message_outbox WHERE lease_end_time IS NOT NULL"
        assert len(await rows(database, marked)) == together
        meta.lets_go.set()


async def test_one_recipient_backs_off_and_others_go_on(database: Database) -> None:
    """And what comes after it to the same waits behind it."""
    until = datetime.now(UTC) + timedelta(hours=1)
    slow = SlowDown(until, 131056, "pair rate limit", Scope.RECIPIENT)
    meta = Meta(lambda one: slow if one.to == ADA else _sent(one))
    first, second = await put(database, "1", "2")
    [to_bob] = await put(database, "3", to=BOB)
    async with working(database, meta):
        await eventually(lambda: stands(database, to_bob, "SENT"))
        for one in (first, second):
            await stands(database, one, "QUEUED")
    assert [one.text for one in meta.handed if one.to == ADA] == ["1"]
    [row] = await rows(
        database, "SELECT due_time FROM message_outbox ORDER BY due_time DESC LIMIT 1"
    )
    assert row.due_time == until


async def test_a_number_that_is_throttled_rests_and_another_does_not(database: Database) -> None:
    """130429 is about the number."""
    slow = SlowDown(datetime.now(UTC) + timedelta(hours=1), 130429, "throughput", Scope.NUMBER)
    meta = Meta(lambda one: slow if one.phone_number_id == NUMBER else _sent(one))
    [first] = await put(database, "1")
    async with working(database, meta):
        await eventually(lambda: noted(database, first))
        [to_bob] = await put(database, "2", to=BOB)
        [other] = await put(database, "3", to=BOB, number=OTHER_NUMBER)
        await eventually(lambda: stands(database, other, "SENT"))
        await stands(database, to_bob, "QUEUED")
    assert [one.text for one in meta.handed] == ["1", "3"]


async def test_what_is_slowed_down_is_sent_when_its_time_has_come(database: Database) -> None:
    """It was certainly not taken before."""
    until = datetime.now(UTC) + timedelta(seconds=0.3)
    answers: list[SendOutcome] = [SlowDown(until, 130429, "throughput")]
    meta = Meta(lambda one: answers.pop() if answers else _sent(one))
    [first] = await put(database, "1")
    async with working(database, meta):
        await eventually(lambda: stands(database, first, "SENT"))
    assert datetime.now(UTC) >= until
    assert len(meta.handed) == 2


@pytest.mark.parametrize("kind", [FaultKind.RECIPIENT, FaultKind.ACCOUNT, FaultKind.NEVER])
async def test_what_is_refused_fails_with_its_kind(database: Database, kind: FaultKind) -> None:
    """Code, words and the trace that support asks for; a wrong token is noted of the account."""
    meta = Meta(lambda _: Refused(kind, 190, "no", "trace-1"))
    [first] = await put(database, "1")
    async with working(database, meta):
        row = await eventually(lambda: stands(database, first, "FAILED"))
    assert row.error == {"code": 190, "kind": kind, "message": "no", "trace_id": "trace-1"}
    [found] = await rows(database, "SELECT refused FROM whatsapp_accounts")
    assert found.refused is (kind is FaultKind.ACCOUNT)


@pytest.mark.parametrize("lost", [Unanswered("timeout"), RuntimeError("an adapter's fault")])
async def test_what_was_not_answered_is_unknown_and_never_sent_again(
    database: Database, lost: SendOutcome | Exception
) -> None:
    """Also when the adapter failed; a status with our own id moves it on."""
    meta = Meta(lambda _: lost)
    [first] = await put(database, "1")
    async with working(database, meta) as duty:
        row = await eventually(lambda: stands(database, first, "UNKNOWN"))
        duty.wake()
    assert row.error["kind"] == "UNKNOWN_OUTCOME"
    assert len(meta.handed) == 1
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        told = Status("wamid.late", "sent", NOW, message_id=first)
        await message.tell(connection, ORG, [told])
    row = await stands(database, first, "SENT")
    assert (row.whatsapp_id, row.error) == ("wamid.late", None)


async def test_a_status_that_overtakes_the_answer_stays(database: Database) -> None:
    """By our own id, or kept for WhatsApp's."""
    meta = Meta()
    meta.lets_go.clear()
    [first] = await put(database, "1")
    async with working(database, meta):
        await meta.begun.wait()
        async with database.org(ORG) as connection:
            await whatsapp.lock(connection, ORG)
            await message.tell(connection, ORG, [Status(f"wamid.{first}", "delivered", NOW)])
        meta.lets_go.set()
        await eventually(lambda: stands(database, first, "DELIVERED"))


async def test_a_message_that_a_dead_server_was_handing_over_is_unknown(
    database: Database,
) -> None:
    """It was marked before it went: it is not sent again, and its recipient's next one is."""
    meta = Meta()
    first, second = await put(database, "1", "2")
    async with database.org(ORG) as connection:
        pace = outbox.Pace(10, timedelta(0), timedelta(0))
        claimed = await outbox.claim(
            connection, ORG, NUMBER, pace=pace, lease=timedelta(seconds=0.2)
        )
    assert [one.message_id for one in claimed] == [first]
    async with working(database, meta):
        await eventually(lambda: stands(database, second, "SENT"))
    row = await stands(database, first, "UNKNOWN")
    assert row.error["kind"] == "UNKNOWN_OUTCOME"
    assert [one.text for one in meta.handed] == ["2"]


async def test_without_an_account_messages_wait(database: Database) -> None:
    """Nothing is marked, and so nothing is lost."""
    [first] = await put(database, "1")
    async with working(database, None) as duty:
        for _ in range(3):
            await duty.turn()
        await stands(database, first, "QUEUED")
    async with working(database, meta := Meta()):
        await eventually(lambda: stands(database, first, "SENT"))
    assert len(meta.handed) == 1


async def test_a_server_that_stops_notes_what_it_has_handed_over(database: Database) -> None:
    """It waits for the answers to what is under way."""
    meta = Meta()
    meta.lets_go.clear()
    [first] = await put(database, "1")
    async with working(database, meta):
        await meta.begun.wait()
        asyncio.get_running_loop().call_later(0.1, meta.lets_go.set)
    await stands(database, first, "SENT")


async def noted(database: Database, message_id: UUID) -> None:
    """AssertionError until a message was handed over and put back."""
    [row] = await rows(
        database,
        "SELECT tries, lease_end_time FROM message_outbox WHERE message_id = :id",
        id=message_id,
    )
    assert row.tries == 1
    assert row.lease_end_time is None
