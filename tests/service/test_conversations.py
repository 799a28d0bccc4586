"""ConversationService through a real channel, before the simulated Meta."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import pytest

from crmsync.v1 import conversation_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.calls import failure
from tests.service.chats import (
    CLOSED,
    DELIVERED,
    FAILED,
    JANE,
    JOHN,
    OPEN,
    QUEUED,
    READ,
    UNKNOWN,
    VERIFY,
    Chats,
    chatting,
    now,
    told,
)
from tests.service.conftest import SECRET

Code = grpc.StatusCode


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


async def test_an_account_is_connected_and_read(settings: Settings, sandbox: Sandbox) -> None:
    """Its secrets are kept with the connection and never shown; Meta's handshake is answered."""
    async with chatting(settings, sandbox) as chats:
        missing = await failure(
            chats.client.conversations.GetAccount(pb.GetAccountRequest(refresh=True))
        )
        assert (missing.code, missing.reason) == (Code.NOT_FOUND, "ACCOUNT_NOT_FOUND")
        response = await chats.connect()
        account = response.account
        assert (account.name, account.waba_id, account.business_id) == (
            "Enromatics",
            "1211735840550044",
            "123456789",
        )
        assert account.sync_status == conversation_pb2.ACCOUNT_SYNC_STATUS_SYNCED
        assert list(account.missing) == []
        [number] = account.phone_numbers
        assert (number.display_number, number.quality) == ("+91 80871 31777", "green")
        assert number.is_active
        assert number.verified
        assert response.webhook_path == "/webhooks/whatsapp"
        assert await chats.meta.try_webhook(chats.hook, VERIFY)
        assert not await chats.meta.try_webhook(chats.hook, "another token")
        again = await chats.connect(access_token="", app_secret="", verify_token="", waba_id="")
        assert again.account.id == account.id
        assert await chats.meta.try_webhook(chats.hook, VERIFY)


async def test_what_is_needed_the_first_time_is_named(settings: Settings, sandbox: Sandbox) -> None:
    """Each field by itself, and nothing is kept."""
    async with chatting(settings, sandbox) as chats:
        wrong = await failure(chats.connect(access_token="", verify_token="", waba_id=""))
        assert [one.field for one in wrong.violations] == [
            "access_token",
            "verify_token",
            "waba_id",
        ]
        missing = await failure(chats.client.conversations.GetAccount(pb.GetAccountRequest()))
        assert missing.reason == "ACCOUNT_NOT_FOUND"


async def test_a_token_that_meta_refuses_is_told(settings: Settings, sandbox: Sandbox) -> None:
    """Nothing works but connecting anew, which says what is missing."""
    async with chatting(settings, sandbox) as chats:
        response = await chats.connect(access_token="wrong")
        assert response.account.sync_status == conversation_pb2.ACCOUNT_SYNC_STATUS_REFUSED
        refused = await failure(chats.client.conversations.GetDashboard(pb.GetDashboardRequest()))
        assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "ACCOUNT_NOT_SYNCED")
        assert refused.metadata["missing"] == "business_id,phone_numbers,access_token"
        assert not (await chats.connect()).account.missing


async def test_what_somebody_writes_becomes_a_conversation(chats: Chats) -> None:
    """With a contact made of the number and the profile; told twice, it is there once."""
    chats.meta.user.write(JOHN, "Hi, I need help", name="John Doe")
    found = await eventually(chats.conversation)
    conversation, [message] = found.conversation, found.messages
    assert (conversation.contact_name, conversation.status) == ("John Doe", OPEN)
    assert (conversation.last_message, conversation.unread_count) == ("Hi, I need help", 1)
    assert conversation.phone_number_id == chats.meta.settings.numbers[0].id
    window = conversation.window_end_time.ToDatetime() - message.message_time.ToDatetime()
    assert window == timedelta(hours=24)
    assert (message.text, message.type, message.status) == ("Hi, I need help", "text", DELIVERED)
    assert message.direction == conversation_pb2.MESSAGE_DIRECTION_INCOMING
    [contact] = await chats.contacts()
    assert (contact.name, contact.phone, contact.unread_count) == ("John Doe", f"+{JOHN}", 1)
    assert contact.last_message_time == message.message_time


async def test_an_unknown_kind_of_message_is_kept(chats: Chats) -> None:
    """By its word, and shown in brackets."""
    chats.meta.user.write(JOHN, content={"type": "hologram", "hologram": {"id": "h1"}})
    found = await eventually(chats.conversation)
    assert found.messages[0].type == "hologram"
    assert found.conversation.last_message == "[hologram]"


async def test_a_reply_is_sent_once_and_its_statuses_move_on(chats: Chats) -> None:
    """QUEUED, then as far as Meta tells; the repeat of a request sends nothing."""
    chats.meta.user.write(JOHN, "Hi", at=now() - timedelta(minutes=1))
    await eventually(chats.conversation)
    request_id = str(uuid4())
    message = await chats.send("Hello", request_id=request_id)
    assert message.status == QUEUED
    again = await chats.send("Hello", request_id=request_id)
    assert again.id == message.id
    delivered = await eventually(lambda: chats.stands(message.id, DELIVERED))
    [sent] = chats.meta.account.sent
    assert (sent.to, sent.body["text"]["body"], sent.wamid) == (
        JOHN,
        "Hello",
        delivered.whatsapp_id,
    )
    found = await chats.conversation(2)
    assert (found.conversation.unread_count, found.conversation.last_message) == (0, "Hello")
    chats.meta.user.report(sent, "read")
    await eventually(lambda: chats.stands(message.id, READ))


async def test_free_text_needs_a_window_and_a_template_does_not(chats: Chats) -> None:
    """The window is 24 hours after what was received last."""
    refused = await failure(chats.send("Hello"))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "TEMPLATE_REQUIRED")
    assert refused.metadata["window_end_time"] == ""
    chats.meta.user.write(JOHN, "Hi", at=now() - timedelta(hours=25))
    await eventually(chats.conversation)
    refused = await failure(chats.send("Hello"))
    assert refused.metadata["window_end_time"]
    template = pb.TemplateMessage(name="hello_world", language="en_US", body_parameters=["John"])
    request = pb.SendMessageRequest(phone=f"+{JOHN}", template=template)
    message = (await chats.client.conversations.SendMessage(request)).message
    assert (message.type, message.text) == ("template", "")
    await eventually(lambda: chats.stands(message.id, DELIVERED))
    assert [one.status for one in await chats.conversations()] == [OPEN, CLOSED]
    assert len(await chats.contacts()) == 1


async def test_a_recipient_must_have_a_phone_number(chats: Chats) -> None:
    """Each wrong way is named by its field."""
    nobody = await failure(chats.send("Hello", contact_id=str(uuid4())))
    assert nobody.reason == "CONTACT_NOT_FOUND"
    wrong = await failure(chats.send("Hello", phone="extension 17"))
    assert [one.field for one in wrong.violations] == ["phone"]
    chats.meta.user.write(JOHN, "Hi")
    await eventually(chats.conversation)
    wrong = await failure(chats.send("Hello", phone_number_id="17"))
    assert [one.field for one in wrong.violations] == ["phone_number_id"]


async def test_nothing_can_be_sent_to_who_hides_their_number(chats: Chats) -> None:
    """And that it is hidden is said: they have written, so there seems to be a way."""
    told = json.loads(webhook(chats, "Hi"))
    value = told["entry"][0]["changes"][0]["value"]
    value["contacts"] = [{"user_id": "US.13491208655302741918", "profile": {"name": "Ada"}}]
    del value["messages"][0]["from"]
    value["messages"][0]["from_user_id"] = "US.13491208655302741918"
    assert (await chats.post(json.dumps(told).encode())).status_code == 200
    hidden = await eventually(chats.conversation)
    wrong = await failure(chats.send("Hello", contact_id=hidden.conversation.contact_id))
    assert [one.field for one in wrong.violations] == ["contact_id"]
    assert "hides their phone number" in wrong.violations[0].description


async def test_a_change_about_a_new_number_is_kept_for_its_account(chats: Chats) -> None:
    """Nobody has read the account since it got the number; of another account it is counted."""
    known = json.loads(webhook(chats, "Hi"))
    entry = known["entry"][0]
    for place, waba_id in ((1, entry["id"]), (2, "99")):
        other = json.loads(webhook(chats, "New"))["entry"][0]
        other["id"] = waba_id
        other["changes"][0]["value"]["metadata"]["phone_number_id"] = f"88{place}"
        other["changes"][0]["value"]["messages"][0]["id"] = f"wamid.new.{place}"
        known["entry"].append(other)
    assert (await chats.post(json.dumps(known).encode())).status_code == 200
    found = await eventually(partial(_some, chats, 2))
    assert {one.last_message for one in found} == {"Hi", "New"}
    text = (await chats.http.get("/metrics")).text
    assert 'crmsync_webhook_changes_left_out_total{crm="whatsapp"} 1.0' in text


async def _some(chats: Chats, count: int) -> Sequence[Any]:
    found = await chats.conversations()
    assert len(found) == count
    return found


async def test_what_meta_refuses_is_failed_and_says_why(chats: Chats) -> None:
    """For ever, or of the account; a failure that is told later counts alike."""
    chats.meta.user.write(JOHN, "Hi", at=now() - timedelta(minutes=1))
    await eventually(chats.conversation)
    chats.meta.refusing = 131026
    message = await chats.send("one")
    failed = await eventually(lambda: chats.stands(message.id, FAILED))
    assert (failed.error.code, failed.error.kind) == (131026, "RECIPIENT")
    chats.meta.refusing = None
    second = await chats.send("two")
    await eventually(lambda: chats.stands(second.id, DELIVERED))
    assert len(chats.meta.account.sent) == 1


async def test_a_message_without_an_answer_is_unknown_and_never_sent_again(chats: Chats) -> None:
    """A status that comes later moves it on."""
    chats.meta.subscribe(None)
    await write(chats, "Hi")
    await eventually(chats.conversation)
    drop = ScriptedFault(kind="drop", applied=True, method="POST", path="*/messages")
    chats.meta.faults.script(drop)
    message = await chats.send("Hello")
    unknown = await eventually(lambda: chats.stands(message.id, UNKNOWN), within=20)
    assert (unknown.error.kind, unknown.whatsapp_id) == ("UNKNOWN_OUTCOME", "")
    [sent] = chats.meta.account.sent
    chats.meta.subscribe(chats.hook)
    chats.meta.user.report(sent, "delivered")
    moved = await eventually(lambda: chats.stands(message.id, DELIVERED))
    assert moved.whatsapp_id == sent.wamid
    assert not moved.HasField("error")
    assert len(chats.meta.account.sent) == 1


async def test_one_recipient_that_must_wait_holds_up_nobody_else(chats: Chats) -> None:
    """The pair limit backs off for one of them; what comes after it to the same waits behind it."""
    for wa_id in (JOHN, JANE):
        chats.meta.user.write(wa_id, "Hi", at=now() - timedelta(minutes=1))
    await eventually(lambda: both(chats))
    chats.meta.settings = replace(chats.meta.settings, pair_messages=1)
    first = await chats.send("1")
    await eventually(lambda: chats.stands(first.id, DELIVERED))
    waiting = [await chats.send("2"), await chats.send("3")]
    to_jane = await chats.send("Jane", phone=f"+{JANE}")
    await eventually(lambda: chats.stands(to_jane.id, DELIVERED))
    for one in waiting:
        assert (await chats.message(one.id)).status == QUEUED


async def test_closing_and_reading_change_a_conversation(chats: Chats) -> None:
    """Closing twice is closing once; the next message opens another."""
    chats.meta.user.write(JOHN, "Hi", at=now() - timedelta(minutes=1))
    found = await eventually(chats.conversation)
    stub, key = chats.client.conversations, found.conversation.id
    read = await stub.MarkConversationRead(pb.MarkConversationReadRequest(conversation_id=key))
    assert read.conversation.unread_count == 0
    request = pb.CloseConversationRequest(conversation_id=key)
    closed = (await stub.CloseConversation(request)).conversation
    assert closed.status == CLOSED
    assert (await stub.CloseConversation(request)).conversation == closed
    chats.meta.user.write(JOHN, "One more thing", at=now() + timedelta(seconds=2))
    await eventually(lambda: statuses(chats, OPEN, CLOSED))
    assert [one.id for one in await chats.conversations(status=CLOSED)] == [key]
    assert [one.unread_count for one in await chats.conversations(unread_only=True)] == [1]
    unknown = await failure(
        stub.CloseConversation(pb.CloseConversationRequest(conversation_id=str(uuid4())))
    )
    assert unknown.reason == "CONVERSATION_NOT_FOUND"


async def test_pages_of_conversations_and_messages_hold_each_once(chats: Chats) -> None:
    """Newest first, and a token serves the list that it came from alone."""
    for number in range(5):
        chats.meta.user.write(f"49151000000{number}", "Hi", at=now() - timedelta(minutes=number))
    await eventually(lambda: count(chats, 5))
    stub, request = chats.client.conversations, pb.ListConversationsRequest(page_size=2)
    seen: list[str] = []
    while True:
        page = await stub.ListConversations(request)
        assert page.total_size == 5
        seen += [one.id for one in page.conversations]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [one.id for one in await chats.conversations()]
    foreign = pb.ListConversationsRequest(page_token=request.page_token, status=OPEN)
    assert (await failure(stub.ListConversations(foreign))).reason == "INVALID_PAGE_TOKEN"
    for minute in range(1, 4):
        chats.meta.user.write("491510000000", f"{minute}", at=now() - timedelta(minutes=minute))
    found = await eventually(lambda: chats.conversation(4))
    part = pb.GetConversationRequest(conversation_id=found.conversation.id, page_size=3)
    first = await stub.GetConversation(part)
    part.page_token = first.next_page_token
    second = await stub.GetConversation(part)
    pages = [*first.messages, *second.messages]
    assert [one.id for one in pages] == [one.id for one in found.messages]
    assert not second.next_page_token


async def test_a_watcher_is_told_every_change_and_goes_on_where_it_was(chats: Chats) -> None:
    """As it is committed: received, queued, sent and delivered."""
    stub = chats.client.conversations
    call: Any = stub.WatchMessages(pb.WatchMessagesRequest())
    first = await call.read()
    assert first.HasField("heartbeat")
    chats.meta.user.write(JOHN, "Hi", at=now() - timedelta(minutes=1))
    [message] = await told(call, 1)
    assert message.text == "Hi"
    call.cancel()
    reply = await chats.send("Hello")
    await eventually(lambda: chats.stands(reply.id, DELIVERED))
    resumed = stub.WatchMessages(pb.WatchMessagesRequest(resume_token=message.resume_token))
    [after] = await told(resumed, 1)
    assert (after.id, after.status) == (reply.id, DELIVERED)
    resumed.cancel()
    other: Any = stub.WatchMessages(
        pb.WatchMessagesRequest(conversation_id=str(uuid4()), resume_token=first.resume_token)
    )
    beat = await other.read()
    assert beat.HasField("heartbeat")
    other.cancel()
    wrong = await failure(stub.WatchMessages(pb.WatchMessagesRequest(resume_token="x")).read())
    assert [one.field for one in wrong.violations] == ["resume_token"]


async def test_a_webhook_that_proves_nothing_leaves_no_trace(
    chats: Chats, database: Database
) -> None:
    """Wrong, missing or another's signature, an unknown number: 401; too long 413; deep 400."""
    body = webhook(chats, "Hi")
    assert (await chats.post(body, secret="another app's")).status_code == 401
    assert (await chats.post(body, headers={})).status_code == 401
    unknown = body.replace(chats.meta.settings.numbers[0].id.encode(), b"17")
    assert (await chats.post(unknown)).status_code == 401
    assert (await chats.post(b'{"object": "page"}')).status_code == 401
    assert (await chats.post(b"x" * (10 * 1024 * 1024))).status_code == 413
    assert (await chats.post(body[:-1])).status_code == 400
    number = chats.meta.settings.numbers[0].id.encode()
    deep = b'{"phone_number_id":"' + number + b'","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    assert (await chats.post(deep)).status_code == 400
    assert (await chats.http.get("/webhooks/whatsapp")).status_code == 403
    async with database.everyone() as connection:
        kept = await connection.exec_driver_sql("SELECT count(*) FROM whatsapp_inbox")
        assert kept.scalar() == 0
    for _ in range(3):
        assert (await chats.post(body)).status_code == 200
    await eventually(chats.conversation)
    text = (await chats.http.get("/metrics")).text
    assert 'crmsync_webhooks_total{crm="whatsapp",result="duplicate"} 2.0' in text


async def test_one_app_of_two_organizations_reaches_both_and_another_none(
    settings: Settings, sandbox: Sandbox
) -> None:
    """Whose secret signs decides, among those that have the number."""
    async with chatting(settings, sandbox, token("acme")) as acme:
        await acme.connect()
        async with (
            client_of(acme, "globex") as globex,
            client_of(acme, "initech") as initech,
        ):
            both = Chats(globex, acme.target, acme.http, sandbox)
            other = Chats(initech, acme.target, acme.http, sandbox)
            await both.connect()
            await other.connect(app_secret="an app of its own")
            assert (await acme.post(webhook(acme, "Hi"))).status_code == 200
            await eventually(acme.conversation)
            await eventually(both.conversation)
            assert await other.conversations() == []
            foreign = (await acme.conversations())[0].id
            unseen = await failure(
                globex.conversations.GetConversation(
                    pb.GetConversationRequest(conversation_id=foreign)
                )
            )
            assert unseen.reason == "CONVERSATION_NOT_FOUND"


async def test_a_subscription_is_asked_for_where_it_is_required(
    settings: Settings, sandbox: Sandbox
) -> None:
    """By the claim of the token; other services do not ask."""
    paid = settings.model_copy(update={"subscription_required": True})
    async with chatting(paid, sandbox, token("acme", subscribed=False)) as chats:
        refused = await failure(chats.connect())
        assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "SUBSCRIPTION_REQUIRED")
        assert await chats.contacts() == []
    async with chatting(paid, sandbox, token("acme", subscribed=True)) as chats:
        assert (await chats.connect()).account.id


async def test_each_caller_has_a_rate_of_their_own(settings: Settings, sandbox: Sandbox) -> None:
    """One call more than the rate is refused, and told when to come again; others go on."""
    limited = settings.model_copy(update={"dashboard_calls_per_hour": 3})
    async with chatting(limited, sandbox, token("acme", subject="ada")) as chats:
        await chats.connect()
        stub = chats.client.conversations
        await asyncio.gather(*(stub.GetDashboard(pb.GetDashboardRequest()) for _ in range(3)))
        refused = await failure(stub.GetDashboard(pb.GetDashboardRequest()))
        assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refused.metadata["limit"] == "3"
        await stub.ListConversations(pb.ListConversationsRequest())
        async with client_of(chats, "acme", subject="bob") as bob:
            await bob.conversations.GetDashboard(pb.GetDashboardRequest())


def token(org_id: str, *, subject: str = "tests", subscribed: bool = False) -> str:
    """Return an admin's token."""
    caller = Caller(org_id, subject, frozenset({Role.ADMIN}), subscribed=subscribed)
    return mint(SECRET, caller, timedelta(hours=1))


def client_of(chats: Chats, org_id: str, *, subject: str = "tests") -> CrmsyncClient:
    """Return a client of another caller at the same server."""
    return CrmsyncClient(chats.target, token=token(org_id, subject=subject))


def webhook(chats: Chats, text: str) -> bytes:
    """Return the body of a webhook about a message of John's."""
    message = {
        "from": JOHN,
        "id": f"wamid.{uuid4().hex}",
        "timestamp": str(int(now().timestamp())),
        "type": "text",
        "text": {"body": text},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": chats.meta.settings.numbers[0].id},
        "contacts": [{"wa_id": JOHN, "profile": {"name": "John Doe"}}],
        "messages": [message],
    }
    change = {"field": "messages", "value": value}
    entry = {"id": chats.meta.settings.waba_id, "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


async def write(chats: Chats, text: str) -> None:
    """Let John write, while Meta sends nothing by itself."""
    reply = await chats.post(webhook(chats, text))
    assert reply.status_code == 200
    number = chats.meta.settings.numbers[0].id
    chats.meta.account.heard[number, JOHN] = now()


async def both(chats: Chats) -> None:
    """AssertionError until John and Jane have written."""
    await count(chats, 2)


async def count(chats: Chats, expected: int) -> None:
    """AssertionError until there are so many conversations."""
    assert len(await chats.conversations()) == expected


async def statuses(chats: Chats, *expected: int) -> None:
    """AssertionError until the conversations stand so."""
    assert [one.status for one in await chats.conversations()] == list(expected)
