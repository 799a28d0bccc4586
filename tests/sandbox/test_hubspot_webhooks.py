"""HubSpot's webhooks: what they say of a change, how they are signed, and how often they come."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.webhooks import WebhookSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.receiver import Receiver, receiving


@pytest.fixture
def webhooks() -> WebhookSettings:
    """Return how the portal sends."""
    return WebhookSettings(retry_seconds=0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return somebody who listens."""
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def sandbox(
    clock: MovableClock, webhooks: WebhookSettings, receiver: Receiver
) -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs; HubSpot tells the receiver."""
    settings = HubSpotSettings(webhook_url=receiver.url, webhooks=webhooks)
    async with Sandbox(hubspot=settings, clock=clock) as running:
        yield running


def kinds(receiver: Receiver) -> list[str]:
    """Return what was told, in the order it came in."""
    return [event["subscriptionType"].removeprefix("contact.") for event in receiver.events]


async def test_a_users_changes_are_told_in_one_post(sandbox: Sandbox, receiver: Receiver) -> None:
    """Of a new contact, of each value that changed, and of a deletion."""
    user = sandbox.hubspot.user
    added = user.add({"email": "ada@example.com"})
    user.edit(added, {"email": "ada@example.com", "city": "York"})
    user.edit(added, {"city": ""})
    user.remove(added)
    await sandbox.hubspot.webhooks.flushed()
    (post,) = receiver.posts
    assert kinds(receiver) == [
        "creation",
        "propertyChange",
        "propertyChange",
        "propertyChange",
        "deletion",
    ]
    changes = [(e["propertyName"], e["propertyValue"]) for e in post.json if "propertyName" in e]
    assert changes == [("email", "ada@example.com"), ("city", "York"), ("city", "")]
    for event in post.json:
        assert event["objectId"] == int(added)
        assert event["portalId"] == 4242
        assert event["occurredAt"] == 1_772_452_800_000
        assert event["changeSource"] == "CRM_UI"
        assert event["attemptNumber"] == 0
    assert len({event["eventId"] for event in post.json}) == 5


async def test_a_post_is_signed_with_the_apps_secret(sandbox: Sandbox, receiver: Receiver) -> None:
    """Over method, decoded URL, body and time, as version 3 wants it; version 1 comes too."""
    sandbox.hubspot.user.add({"email": "ada@example.com"})
    await sandbox.hubspot.webhooks.flushed()
    (post,) = receiver.posts
    secret = sandbox.hubspot.settings.client_secret.encode()
    stamp = post.headers["x-hubspot-request-timestamp"]
    assert stamp == "1772452800000"
    assert post.target == "/hooks?of=crm%3A1"
    url = receiver.url.replace("%3A", ":")
    signed = b"POST" + url.encode() + post.body + stamp.encode()
    digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert post.headers["x-hubspot-signature-v3"] == digest
    version_1 = hashlib.sha256(secret + post.body).hexdigest()
    assert post.headers["x-hubspot-signature"] == version_1


async def test_changes_by_callers_are_told_as_an_integrations(
    sandbox: Sandbox, receiver: Receiver, hubspot: httpx.AsyncClient
) -> None:
    """Which is how an echo is known."""
    body = {"properties": {"email": "ada@example.com"}}
    await hubspot.post("/crm/v3/objects/contacts", json=body)
    await sandbox.hubspot.webhooks.flushed()
    assert {event["changeSource"] for event in receiver.events} == {"INTEGRATION"}


async def test_a_merge_is_one_event_with_all_ids(sandbox: Sandbox, receiver: Receiver) -> None:
    """And no deletion."""
    user = sandbox.hubspot.user
    loser, winner = user.seed(2)
    user.edit(loser, {"city": "York"})
    await sandbox.hubspot.webhooks.flushed()
    receiver.posts.clear()
    left = user.merge(loser, winner)
    await sandbox.hubspot.webhooks.flushed()
    (event,) = receiver.events
    told: dict[str, Any] = {
        "subscriptionType": "contact.merge",
        "objectId": int(left),
        "primaryObjectId": int(winner),
        "mergedObjectIds": [int(loser)],
        "newObjectId": int(left),
        "numberOfPropertiesMoved": 1,
    }
    assert {name: event[name] for name in told} == told


async def test_a_post_has_a_hundred_events_at_most(sandbox: Sandbox, receiver: Receiver) -> None:
    """A bulk edit makes several; a seed makes none."""
    user = sandbox.hubspot.user
    ids = user.seed(250)
    user.edit_many(ids, {"city": "York"})
    await sandbox.hubspot.webhooks.flushed()
    assert [len(post.json) for post in receiver.posts] == [100, 100, 50]


async def test_a_post_that_is_refused_comes_again(sandbox: Sandbox, receiver: Receiver) -> None:
    """With the number of the attempt; after the last it is given up."""
    user = sandbox.hubspot.user
    (seeded,) = user.seed(1)
    receiver.refusals[:] = [500, 429]
    user.edit(seeded, {"city": "York"})
    await sandbox.hubspot.webhooks.flushed()
    assert [event["attemptNumber"] for event in receiver.events] == [0, 1, 2]
    receiver.refusals[:] = [500, 500, 500]
    user.edit(seeded, {"city": "Hull"})
    await sandbox.hubspot.webhooks.flushed()
    assert len(receiver.posts) == 6
    assert [sent.taken for sent in sandbox.hubspot.webhooks.sent] == [False, False, True] + [
        False
    ] * 3


@pytest.mark.parametrize("webhooks", [WebhookSettings(reversed=True, repeats=2)])
async def test_a_post_may_come_twice_and_newest_first(sandbox: Sandbox, receiver: Receiver) -> None:
    """Neither order nor uniqueness is promised."""
    user = sandbox.hubspot.user
    added = user.add({})
    user.remove(added)
    await sandbox.hubspot.webhooks.flushed()
    assert kinds(receiver) == ["deletion", "creation"] * 2


async def test_nobody_is_told_until_somebody_subscribes(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """Nor of what happened before; a reset goes back to the settings."""
    hubspot = sandbox.hubspot
    hubspot.subscribe(None)
    hubspot.user.add({"email": "ada@example.com"})
    hubspot.subscribe(f"{receiver.url}&again")
    (seeded,) = hubspot.user.seed(1)
    hubspot.user.remove(seeded)
    await hubspot.webhooks.flushed()
    assert kinds(receiver) == ["deletion"]
    assert receiver.posts[0].target.endswith("&again")
    hubspot.reset()
    hubspot.user.add({})
    await hubspot.webhooks.flushed()
    assert receiver.posts[1].target == "/hooks?of=crm%3A1"


async def test_what_was_not_sent_before_a_stop_is_sent_after_it(
    clock: MovableClock, receiver: Receiver
) -> None:
    """A receiver that nobody listens at is an attempt without an answer."""
    async with Sandbox(clock=clock) as sandbox:
        sandbox.hubspot.subscribe("http://127.0.0.1:1/")
        sandbox.hubspot.user.add({})
        await sandbox.hubspot.webhooks.flushed()
        assert {sent.status for sent in sandbox.hubspot.webhooks.sent} == {None}
        sandbox.hubspot.subscribe(receiver.url)
    sandbox.hubspot.user.add({})
    async with sandbox:
        await sandbox.hubspot.webhooks.flushed()
        assert kinds(receiver) == ["creation"]
