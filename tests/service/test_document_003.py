"""The document of the WhatsApp CRM, example by example, through a real channel."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import grpc
import pytest

from crmsync.v1 import contact_pb2, contact_service_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store import message, sender, whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.message import Message
from crmsync_server.store.states import MessageDirection, MessageStatus
from tests.eventually import eventually
from tests.service.calls import failure, new_uuid
from tests.service.chats import CLOSED, DELIVERED, JOHN, OPEN, Chats, chatting, now

Code = grpc.StatusCode
Direction = MessageDirection

ORG = "default"
NUMBER = "507100000000001"
DAY = timedelta(days=1)


class Said(NamedTuple):
    """One message: who, when, which way, and what."""

    wa_id: str
    time: datetime
    direction: MessageDirection
    text: str


@pytest.fixture
async def chats(settings: Settings, sandbox: Sandbox) -> AsyncIterator[Chats]:
    """Run a server with the account connected."""
    async with chatting(settings, sandbox) as running:
        await running.connect()
        yield running


@pytest.fixture(autouse=True)
async def _every_promise_is_kept(database: Database) -> AsyncIterator[None]:
    yield
    async with database.everyone() as connection:
        assert await violations(connection) == []


async def keep(database: Database, said: list[Said], names: dict[str, str]) -> None:
    """Keep messages as webhooks and the outbox do, without waiting for a month to pass."""
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        wa_ids = {one.wa_id for one in said}
        found = await sender.contacts(connection, ORG, {one: names.get(one, "") for one in wa_ids})
        messages = []
        for place, one in enumerate(said):
            whatsapp_id = f"wamid.{place}"
            sent = one.direction is Direction.OUTGOING
            messages.append(
                Message(
                    id=message.id_of(ORG, whatsapp_id, one.time),
                    whatsapp_id=whatsapp_id,
                    contact_id=found[one.wa_id],
                    phone_number_id=NUMBER,
                    direction=one.direction,
                    type="text",
                    text=one.text,
                    payload={},
                    status=MessageStatus.SENT if sent else MessageStatus.DELIVERED,
                    message_time=one.time,
                )
            )
        await message.settle(connection, ORG, await message.insert(connection, ORG, messages))


def midnight() -> datetime:
    """Return when today began, in UTC."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month() -> Iterator[Said]:
    """Yield what makes the document's dashboard, but for which way each message goes.

    105 contacts wrote in one conversation each, two months ago. 45 are new in these days: 12 of
    them have a conversation that goes on, all have one of the day before yesterday, and 38 one of
    three days before that. That makes 105 + 12 + 45 + 38 = 200.
    """
    start = midnight()
    old = [f"49151{number:07}" for number in range(105)]
    new = [JOHN, *(f"49160{number:07}" for number in range(44))]
    for place in range(12 * 2 + 21):  # 45 of today, by 12 contacts
        yield Said(new[place % 12], start, Direction.INCOMING, f"today {place}")
    for place, wa_id in enumerate(new):
        # John has 45 in all: 4 of today, and 41.
        count = 41 if wa_id == JOHN else 30
        for minute in range(count - (1 if place < 38 else 0)):
            yield Said(wa_id, start - 2 * DAY + timedelta(minutes=minute), Direction.INCOMING, "")
        if place < 38:
            yield Said(wa_id, start - 5 * DAY, Direction.INCOMING, "")
    left = 5432 - 45 - 41 - 44 * 30
    for place, wa_id in enumerate(old):
        for minute in range(left // 105 + (place < left % 105)):
            yield Said(wa_id, start - 60 * DAY + timedelta(minutes=minute), Direction.INCOMING, "")


def both_ways(said: list[Said], sent: int) -> list[Said]:
    """Let so many of the messages be sent, never the first of a contact's nor one of today."""
    found, seen = [], set()
    for one in said:
        may = one.wa_id in seen and one.text == "" and sent > 0
        seen.add(one.wa_id)
        found.append(one._replace(direction=Direction.OUTGOING) if may else one)
        sent -= may
    return found


async def test_the_dashboard(chats: Chats, database: Database) -> None:
    """Its account, numbers, contacts, conversations, messages and what is recent.

    But for the messages of a day: the document divides all there ever were by 30, and the contract
    counts those of the last 30 days.
    """
    said = both_ways(list(month()), 2100)
    await keep(database, said, {JOHN: "John Doe"})
    chats.meta.user.write(JOHN, "Thanks!", name="John Doe", at=now())
    await eventually(lambda: wrote(chats, "Thanks!"))
    dashboard = await chats.client.conversations.GetDashboard(pb.GetDashboardRequest())

    account = dashboard.account
    assert (account.name, account.waba_id, account.business_id) == (
        "Enromatics",
        "1211735840550044",
        "123456789",
    )
    assert account.last_sync_time.ToDatetime(UTC) <= datetime.now(UTC)
    [number] = account.phone_numbers
    assert (number.display_number, number.is_active, number.quality, number.verified) == (
        "+91 80871 31777",
        True,
        "green",
        True,
    )
    contacts = dashboard.contacts
    assert (contacts.total, contacts.active, contacts.last_week_growth) == (150, 45, 45)
    talks = dashboard.conversations
    assert (talks.total, talks.open, talks.closed, talks.active_rate) == (200, 12, 188, 6)
    # "Thanks!" came on top.
    counts = dashboard.messages
    assert (counts.total - 1, counts.sent, counts.received - 1, counts.today - 1) == (
        5432,
        2100,
        3332,
        45,
    )
    recent = [one for one in said if one.time > midnight() - 30 * DAY]
    assert counts.average_per_day == pytest.approx((len(recent) + 1) / 30)
    newest = dashboard.recent_conversations[0]
    assert (newest.contact_name, newest.status, newest.last_message) == (
        "John Doe",
        OPEN,
        "Thanks!",
    )
    assert len(dashboard.recent_conversations) == 10
    top = dashboard.top_contacts[0]
    assert (top.name, top.phone, top.messages - 1) == ("John Doe", "+919876543210", 45)
    assert len(dashboard.top_contacts) == 10


async def test_the_average_of_a_day(chats: Chats, database: Database) -> None:
    """5,432 messages within 30 days are 181 a day."""
    start = midnight() - 20 * DAY
    said = [
        Said(f"49151{place % 150:07}", start + timedelta(seconds=place), Direction.INCOMING, "")
        for place in range(5432)
    ]
    await keep(database, said, {})
    dashboard = await chats.client.conversations.GetDashboard(pb.GetDashboardRequest())
    assert round(dashboard.messages.average_per_day) == 181


async def test_conversations_and_one_of_them(chats: Chats, database: Database) -> None:
    """Listed by status, and one with its messages, each way, newest first."""
    opened = now() - timedelta(hours=3)
    said = [
        Said(JOHN, opened, Direction.INCOMING, "Hi, I need help"),
        Said(JOHN, opened + timedelta(minutes=5), Direction.OUTGOING, "Sure, what's the issue?"),
        Said(JOHN, opened + timedelta(minutes=45), Direction.INCOMING, "Thanks for your help!"),
    ]
    await keep(database, said, {JOHN: "John Doe"})
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        told = [message.Status("wamid.1", "delivered", now())]
        await message.tell(connection, ORG, told)
    assert await chats.conversations(status=CLOSED) == []
    stub, request = chats.client.conversations, pb.ListConversationsRequest(status=OPEN)
    listed = await stub.ListConversations(request)
    assert listed.total_size == 1
    [one] = listed.conversations
    assert (one.contact_name, one.status, one.last_message, one.unread_count) == (
        "John Doe",
        OPEN,
        "Thanks for your help!",
        1,
    )
    assert one.last_message_time.ToDatetime(UTC) == opened + timedelta(minutes=45)
    assert one.create_time.ToDatetime(UTC) == opened
    found = await stub.GetConversation(pb.GetConversationRequest(conversation_id=one.id))
    assert found.conversation == one
    assert found.total_size == 3
    assert [(each.text, each.direction, each.status) for each in found.messages][1:] == [
        ("Sure, what's the issue?", 2, DELIVERED),
        ("Hi, I need help", 1, DELIVERED),
    ]


async def test_analytics(chats: Chats, database: Database) -> None:
    """The trend of two days, who is new, and answers that took 1,240 seconds on average."""
    start = midnight()
    today = [Said(f"4915100{place}", start, Direction.INCOMING, "") for place in range(5)]
    today += [Said("4915100", start, Direction.INCOMING, f"i{place}") for place in range(20)]
    today += [
        Said(f"4915100{place % 4}", start + timedelta(seconds=1240), Direction.OUTGOING, "")
        for place in range(4)
    ]
    yesterday = [
        Said("4915100", start - DAY, Direction.INCOMING, f"y{place}") for place in range(30)
    ]
    yesterday += [
        Said("4915100", start - DAY + timedelta(seconds=1240 + place), Direction.OUTGOING, "")
        for place in range(22)
    ]
    today += [
        Said("4915100", start + timedelta(seconds=1240 + place), Direction.OUTGOING, "")
        for place in range(16)
    ]
    await keep(database, [*yesterday, *today], {})
    request = pb.GetConversationAnalyticsRequest()
    told = await chats.client.conversations.GetConversationAnalytics(request)
    assert [(one.count, one.sent, one.received) for one in told.message_trend[:2]] == [
        (45, 20, 25),
        (52, 22, 30),
    ]
    assert told.average_response_seconds == 1240
    assert told.contact_growth[0].count == 5
    assert told.message_trend[0].date == told.end_date == start.date().isoformat()
    assert told.start_date == (start - 29 * DAY).date().isoformat()
    assert len(told.message_trend) == len(told.contact_growth) == 30
    week = pb.GetConversationAnalyticsRequest(days=7)
    told = await chats.client.conversations.GetConversationAnalytics(week)
    assert len(told.message_trend) == 7


async def test_contacts_are_created_updated_and_found(chats: Chats) -> None:
    """By name or phone, the one that wrote last first."""
    stub = chats.client.contacts
    john = contact_pb2.Contact(
        name="John Doe", phone="+919876543210", email="john@example.com", tags=["vip", "customer"]
    )
    created = (
        await stub.CreateContact(contact_service_pb2.CreateContactRequest(contact=john))
    ).contact
    assert (created.name, list(created.tags)) == ("John Doe", ["vip", "customer"])
    jane = contact_pb2.Contact(name="Jane", phone="+4915112345678")
    await stub.CreateContact(contact_service_pb2.CreateContactRequest(contact=jane))
    for text in ("One", "Two"):
        chats.meta.user.write(JOHN, text, name="Johnny")
    await eventually(lambda: chats.conversation(2))
    for search in ("john", "98765"):
        request = contact_service_pb2.ListContactsRequest(search=search, page_size=10)
        listed = await stub.ListContacts(request)
        assert [(one.id, one.name, one.unread_count) for one in listed.contacts] == [
            (created.id, "John Doe", 2)
        ]
        assert listed.contacts[0].HasField("last_message_time")
    assert [one.name for one in await chats.contacts()] == ["John Doe", "Jane"]
    changed = contact_pb2.Contact(
        id=created.id,
        name="John Doe Jr",
        email="john.jr@example.com",
        tags=["vip", "premium"],
        notes="Premium customer since Jan 2026",
    )
    update = contact_service_pb2.UpdateContactRequest(contact=changed)
    updated = (await stub.UpdateContact(update)).contact
    assert (updated.name, updated.email, list(updated.tags), updated.notes) == (
        "John Doe Jr",
        "john.jr@example.com",
        ["vip", "premium"],
        "Premium customer since Jan 2026",
    )


async def test_what_the_documents_error_codes_say(settings: Settings, sandbox: Sandbox) -> None:
    """Not fully synced, and not found; the others are the token's, and tested there."""
    async with chatting(settings, sandbox) as chats:
        sandbox.whatsapp.account.numbers.clear()
        await chats.connect()
        stub = chats.client.conversations
        refused = await failure(stub.GetDashboard(pb.GetDashboardRequest()))
        assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "ACCOUNT_NOT_SYNCED")
        assert refused.metadata["missing"] == "phone_numbers"
        for one in sandbox.whatsapp.settings.numbers:
            sandbox.whatsapp.account.numbers[one.id] = one
        synced = await stub.GetAccount(pb.GetAccountRequest(refresh=True))
        assert not synced.account.missing
        request = pb.GetConversationRequest(conversation_id=new_uuid())
        unknown = await failure(stub.GetConversation(request))
        assert (unknown.code, unknown.reason) == (Code.NOT_FOUND, "CONVERSATION_NOT_FOUND")


async def wrote(chats: Chats, text: str) -> None:
    """AssertionError until this is the newest message."""
    assert (await chats.conversations(page_size=1))[0].last_message == text
