"""Brevo's webhooks: who may subscribe, what they are told, and how they know that it is Brevo."""

from collections.abc import AsyncIterator

import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.receiver import Receiver, receiving

WEBHOOKS = "/v3/webhooks"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return somebody who listens."""
    async with receiving() as listening:
        yield listening


async def test_a_change_and_a_deletion_are_told_one_by_one(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """With the token that was asked for; a creation is not told."""
    webhook = sandbox.brevo.subscribe(receiver.url, token="shh")
    user = sandbox.brevo.user
    added = user.add({"email": "ada@x.com"})
    user.edit(added, {"CITY": "York"})
    user.remove(added)
    await sandbox.brevo.webhooks.flushed()
    changed, deleted = (post.json for post in receiver.posts)
    assert {post.headers["authorization"] for post in receiver.posts} == {"Bearer shh"}
    assert (changed["event"], deleted["event"]) == ("contact_updated", "contact_deleted")
    assert changed["content"] == [{"CITY": "York"}]
    for event in (changed, deleted):
        assert (event["id"], event["email"], event["api_key_name"]) == (webhook, "ada@x.com", "")
        assert (event["date"], event["ts"]) == ("2026-03-02 12:00:00", 1_772_452_800)


async def test_a_change_by_a_caller_names_the_key(
    sandbox: Sandbox, receiver: Receiver, brevo: httpx.AsyncClient
) -> None:
    """Which is how an echo is known."""
    sandbox.brevo.subscribe(receiver.url, events=["contactUpdated"])
    sandbox.brevo.user.seed(1)
    await brevo.put("/v3/contacts/1", json={"attributes": {"CITY": "York"}})
    await brevo.delete("/v3/contacts/1")
    await sandbox.brevo.webhooks.flushed()
    (post,) = receiver.posts
    assert post.json["api_key_name"] == "sandbox"
    assert "authorization" not in post.headers


async def test_a_webhook_is_made_listed_and_removed_over_the_api(
    sandbox: Sandbox, receiver: Receiver, brevo: httpx.AsyncClient
) -> None:
    """One that is batched gets arrays; nothing shows its token."""
    body = {
        "url": receiver.url,
        "type": "marketing",
        "events": ["listAddition", "contactDeleted"],
        "auth": {"type": "bearer", "token": "shh"},
        "headers": [{"key": "X-Of", "value": "org-1"}],
        "batched": True,
    }
    made = await brevo.post(WEBHOOKS, json=body)
    assert (made.status_code, made.json()) == (201, {"id": 1})
    user = sandbox.brevo.user
    user.remove(user.add({"email": "ada@x.com", "listIds": [3]}))
    await sandbox.brevo.webhooks.flushed()
    (post,) = receiver.posts
    assert [event["event"] for event in post.json] == ["list_addition", "contact_deleted"]
    assert post.json[0]["list_id"] == [3]
    assert (post.headers["authorization"], post.headers["x-of"]) == ("Bearer shh", "org-1")
    listed = await brevo.get(WEBHOOKS)
    assert [one["events"] for one in listed.json()["webhooks"]] == [
        ["contactDeleted", "listAddition"]
    ]
    assert "shh" not in listed.text
    assert (await brevo.delete(f"{WEBHOOKS}/1")).status_code == 204
    assert (await brevo.get(f"{WEBHOOKS}/1")).status_code == 404
    user.remove(user.add({"email": "ada@x.com"}))
    await sandbox.brevo.webhooks.flushed()
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": None},
        {"events": []},
        {"events": ["contactCreated"]},
        {"type": "inbound"},
        {"auth": {"type": "basic"}},
        {"headers": "X-Of: org-1"},
    ],
)
async def test_a_webhook_that_brevo_does_not_take_is_a_400(
    brevo: httpx.AsyncClient, wrong: dict[str, object]
) -> None:
    """Nothing is subscribed."""
    body = {"url": "http://x.example", "type": "marketing", "events": ["contactUpdated"]}
    assert (await brevo.post(WEBHOOKS, json=body | wrong)).status_code == 400
    assert (await brevo.get(WEBHOOKS)).json() == {"webhooks": []}


async def test_an_account_has_forty_webhooks_at_most(
    sandbox: Sandbox, brevo: httpx.AsyncClient
) -> None:
    """The next is refused; a reset removes them all."""
    for _ in range(40):
        sandbox.brevo.subscribe("http://127.0.0.1:1")
    body = {"url": "http://x.example", "type": "marketing", "events": ["contactUpdated"]}
    assert (await brevo.post(WEBHOOKS, json=body)).status_code == 400
    sandbox.brevo.reset()
    assert (await brevo.post(WEBHOOKS, json=body)).status_code == 201
