"""The simulated Meta: its Graph API, its limits, and its webhooks."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.whatsapp import WhatsAppSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.receiver import Receiver, receiving

ADA = "447000000001"
NUMBER = WhatsAppSettings().numbers[0].id


@pytest.fixture
async def graph(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with the system user's token."""
    headers = {"authorization": f"Bearer {sandbox.whatsapp.settings.access_token}"}
    url = sandbox.urls["whatsapp"]
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as client:
        yield client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Receive webhooks."""
    async with receiving() as running:
        yield running


def text(to: str = ADA, body: str = "Hello") -> dict[str, Any]:
    """Return a text message."""
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}}


async def send(graph: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Send a message."""
    return await graph.post(f"/{NUMBER}/messages", json=body)


def code(reply: httpx.Response) -> int:
    """Return the code of an error."""
    found: int = reply.json()["error"]["code"]
    return found


async def test_another_token_is_refused_with_190(sandbox: Sandbox) -> None:
    """Whatever is asked for."""
    async with httpx.AsyncClient(base_url=sandbox.urls["whatsapp"]) as client:
        reply = await client.get(f"/{NUMBER}")
    assert (reply.status_code, code(reply)) == (401, 190)


async def test_the_account_tells_its_name_its_owner_and_its_numbers(
    graph: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """The fields that were asked for, and the id."""
    settings = sandbox.whatsapp.settings
    waba = (await graph.get(f"/{settings.waba_id}?fields=name,owner_business_info")).json()
    assert waba["name"] == settings.name
    assert waba["owner_business_info"]["id"] == settings.business_id
    numbers = (await graph.get(f"/{settings.waba_id}/phone_numbers")).json()["data"]
    assert [one["display_phone_number"] for one in numbers] == ["+91 80871 31777"]
    number = (await graph.get(f"/{NUMBER}?fields=quality_rating")).json()
    assert number == {"id": NUMBER, "quality_rating": "GREEN"}
    assert code(await graph.get("/404404")) == 100


async def test_a_message_that_is_taken_gets_an_id_of_its_own(
    graph: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """And is held once for each call: there is nothing that makes a repeat harmless."""
    sandbox.whatsapp.user.write(ADA, "Hi")
    replies = [await send(graph, text()) for _ in range(2)]
    ids = {reply.json()["messages"][0]["id"] for reply in replies}
    assert len(ids) == 2
    assert [one["id"] for one in sandbox.whatsapp.contacts()] == [
        reply.json()["messages"][0]["id"] for reply in replies
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"to": ADA, "type": "text", "text": {"body": "x"}},
        {"messaging_product": "whatsapp", "to": "12", "type": "text", "text": {"body": "x"}},
        {"messaging_product": "whatsapp", "to": ADA, "type": "text", "text": {"body": ""}},
        {"messaging_product": "whatsapp", "to": ADA, "type": "image"},
    ],
)
async def test_a_message_that_is_wrong_is_refused_with_100(
    graph: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """And sends nothing."""
    reply = await send(graph, body)
    assert (reply.status_code, code(reply)) == (400, 100)


async def test_a_template_that_nobody_approved_is_refused(graph: httpx.AsyncClient) -> None:
    """One that was approved is taken at any time."""
    known = {"name": "hello_world", "language": {"code": "en_US"}}
    body = {"messaging_product": "whatsapp", "to": ADA, "type": "template", "template": known}
    assert (await send(graph, body)).status_code == 200
    body["template"] = {**known, "name": "unknown"}
    assert code(await send(graph, body)) == 132001


async def test_too_many_to_one_recipient_are_refused_and_others_are_served(
    graph: httpx.AsyncClient, sandbox: Sandbox, clock: MovableClock
) -> None:
    """131056 for the pair, until its time is over."""
    whatsapp = sandbox.whatsapp
    whatsapp.settings = replace(whatsapp.settings, pair_messages=1, pair_seconds=6)
    for wa_id in (ADA, "447000000002"):
        whatsapp.user.write(wa_id, "Hi")
    assert (await send(graph, text())).status_code == 200
    assert code(await send(graph, text())) == 131056
    assert (await send(graph, text("447000000002"))).status_code == 200
    clock.move(seconds=6)
    assert (await send(graph, text())).status_code == 200


async def test_too_many_from_one_number_are_refused_with_130429(
    graph: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """However many recipients there are."""
    sandbox.whatsapp.settings = replace(sandbox.whatsapp.settings, messages_per_second=1)
    assert (await send(graph, text())).status_code == 200
    reply = await send(graph, text("447000000002"))
    assert (reply.status_code, code(reply)) == (429, 130429)


async def test_what_somebody_writes_is_posted_and_signed_over_the_very_bytes(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """Whatever is not ASCII comes escaped, and so does a slash."""
    whatsapp = sandbox.whatsapp
    whatsapp.subscribe(receiver.url)
    wamid = whatsapp.user.write(ADA, "Grüße 🎉 a/b", name="Ada")
    await whatsapp.webhooks.flushed()
    [post] = receiver.posts
    assert b"\\u00fc" in post.body
    assert b"\\/" in post.body
    digest = hmac.new(whatsapp.settings.app_secret.encode(), post.body, hashlib.sha256)
    assert post.headers["x-hub-signature-256"] == f"sha256={digest.hexdigest()}"
    [entry] = json.loads(post.body)["entry"]
    value = entry["changes"][0]["value"]
    assert value["contacts"] == [{"wa_id": ADA, "profile": {"name": "Ada"}}]
    [message] = value["messages"]
    assert (message["id"], message["text"]["body"]) == (wamid, "Grüße 🎉 a/b")


async def test_statuses_come_without_contacts_and_give_the_callback_data_back(
    graph: httpx.AsyncClient, sandbox: Sandbox, receiver: Receiver
) -> None:
    """First sent, then delivered."""
    whatsapp = sandbox.whatsapp
    whatsapp.user.write(ADA, "Hi")
    whatsapp.subscribe(receiver.url)
    await send(graph, {**text(), "biz_opaque_callback_data": "our-id"})
    await whatsapp.webhooks.flushed()
    values = [json.loads(post.body)["entry"][0]["changes"][0]["value"] for post in receiver.posts]
    assert all("contacts" not in value for value in values)
    said = [value["statuses"][0] for value in values]
    assert [one["status"] for one in said] == ["sent", "delivered"]
    assert {one["biz_opaque_callback_data"] for one in said} == {"our-id"}


async def test_free_text_outside_the_24_hours_is_taken_and_told_as_failed(
    graph: httpx.AsyncClient, sandbox: Sandbox, receiver: Receiver, clock: MovableClock
) -> None:
    """Or refused at once, as the setting says."""
    whatsapp = sandbox.whatsapp
    whatsapp.user.write(ADA, "Hi")
    clock.move(hours=25)
    whatsapp.subscribe(receiver.url)
    assert (await send(graph, text())).status_code == 200
    await whatsapp.webhooks.flushed()
    [post] = receiver.posts
    [said] = json.loads(post.body)["entry"][0]["changes"][0]["value"]["statuses"]
    assert (said["status"], said["errors"][0]["code"]) == ("failed", 131047)
    whatsapp.settings = replace(whatsapp.settings, window_told_late=False)
    assert code(await send(graph, text())) == 131047


async def test_webhooks_come_twice_newest_first_and_several_in_a_post(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """As the settings say: nobody promises an order."""
    whatsapp = sandbox.whatsapp
    whatsapp.settings = replace(whatsapp.settings, changes_each=2, entries_each=2)
    whatsapp.webhooks.settings = replace(whatsapp.webhooks.settings, reversed=True, repeats=2)
    whatsapp.subscribe(receiver.url)
    start = whatsapp.account.clock()
    ids = [
        whatsapp.user.write(ADA, str(number), at=start + timedelta(seconds=number))
        for number in range(4)
    ]
    await whatsapp.webhooks.flushed()
    assert len(receiver.posts) == 2
    entries = json.loads(receiver.posts[0].body)["entry"]
    assert [len(entry["changes"]) for entry in entries] == [2, 2]
    told = [
        change["value"]["messages"][0]["id"] for entry in entries for change in entry["changes"]
    ]
    assert told == ids[::-1]
