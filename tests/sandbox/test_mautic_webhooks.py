"""Mautic's webhooks: what they say of a change, how they are signed, and when they give up."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator

import httpx
import pytest

from crmsync_server.sandbox.mautic import MauticSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.webhooks import WebhookSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.mautic_client import asking, write
from tests.sandbox.receiver import Receiver, receiving

HOOKS = "/api/hooks"
NEW, CHANGED, DELETED = (
    "mautic.lead_post_save_new",
    "mautic.lead_post_save_update",
    "mautic.lead_post_delete",
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return somebody who listens."""
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def sandbox(clock: MovableClock) -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs; Mautic gives a receiver up after four failures."""
    settings = MauticSettings(webhook_failures=4, webhooks=WebhookSettings(retry_seconds=0))
    async with Sandbox(mautic=settings, clock=clock) as running:
        yield running


@pytest.fixture
async def mautic(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of Mautic with good credentials."""
    async with asking(sandbox) as client:
        yield client


async def test_events_of_one_moment_are_told_by_kind(sandbox: Sandbox, receiver: Receiver) -> None:
    """A deleted contact has lost its id, which stands beside it."""
    sandbox.mautic.subscribe(receiver.url, "shh")
    user = sandbox.mautic.user
    first, second = user.add({"email": "a@x.com"}), user.add({"email": "b@x.com"})
    user.edit(first, {"city": "York"})
    user.remove(second)
    await sandbox.mautic.webhooks.flushed()
    (post,) = receiver.posts
    assert post.json.keys() == {NEW, CHANGED, DELETED}
    assert [event["contact"]["id"] for event in post.json[NEW]] == [1, 2]
    (changed,), (deleted,) = post.json[CHANGED], post.json[DELETED]
    assert changed["contact"]["fields"]["core"]["city"]["value"] == "York"
    assert changed["timestamp"] == "2026-03-02T12:00:00+00:00"
    assert (deleted["id"], deleted["contact"]["id"]) == (2, None)
    assert deleted["contact"]["fields"]["all"]["email"] == "b@x.com"


async def test_a_post_is_signed_over_its_raw_body(sandbox: Sandbox, receiver: Receiver) -> None:
    """With the secret of the webhook."""
    sandbox.mautic.subscribe(receiver.url, "shh")
    sandbox.mautic.user.add({"email": "a@x.com", "firstname": "Zoë"})
    await sandbox.mautic.webhooks.flushed()
    (post,) = receiver.posts
    digest = hmac.new(b"shh", post.body, hashlib.sha256).digest()
    assert post.headers["webhook-signature"] == base64.b64encode(digest).decode()


async def test_changes_by_callers_are_told_and_those_of_visitors_are_not(
    sandbox: Sandbox, receiver: Receiver, mautic: httpx.AsyncClient
) -> None:
    """Nor a seed."""
    sandbox.mautic.subscribe(receiver.url, "shh")
    sandbox.mautic.user.add({})
    sandbox.mautic.user.seed(1)
    await write(mautic, {"email": "a@x.com"})
    await write(mautic, {"email": "a@x.com", "city": "York"})
    await mautic.delete("/api/contacts/3/delete")
    await sandbox.mautic.webhooks.flushed()
    assert [kind for post in receiver.posts for kind in post.json] == [NEW, CHANGED, DELETED]


async def test_a_merge_is_a_deletion_and_a_change(sandbox: Sandbox, receiver: Receiver) -> None:
    """Nothing says that they belong together."""
    user = sandbox.mautic.user
    loser, winner = user.seed(2)
    sandbox.mautic.subscribe(receiver.url, "shh")
    user.merge(loser, winner)
    await sandbox.mautic.webhooks.flushed()
    (post,) = receiver.posts
    assert [event["id"] for event in post.json[DELETED]] == [1]
    assert [event["contact"]["id"] for event in post.json[CHANGED]] == [2]


async def test_a_post_has_ten_events_at_most_and_may_have_the_newest_first(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """As the webhook says."""
    ids = sandbox.mautic.user.seed(12)
    sandbox.mautic.subscribe(receiver.url, "shh", triggers=[CHANGED], newest_first=True)
    sandbox.mautic.user.edit_many(ids, {"city": "York"})
    sandbox.mautic.user.remove("1")
    await sandbox.mautic.webhooks.flushed()
    told = [[event["contact"]["id"] for event in post.json[CHANGED]] for post in receiver.posts]
    assert told == [list(range(10, 0, -1)), [12, 11]]


async def test_a_webhook_that_fails_too_often_is_unpublished(
    sandbox: Sandbox, receiver: Receiver, mautic: httpx.AsyncClient
) -> None:
    """Until somebody publishes it again; a post that is taken begins the count anew."""
    hook = sandbox.mautic.subscribe(receiver.url, "shh")
    user = sandbox.mautic.user
    receiver.refusals[:] = [500, 500, 500]
    user.add({"email": "a@x.com"})
    await sandbox.mautic.webhooks.flushed()
    user.add({"email": "b@x.com"})
    await sandbox.mautic.webhooks.flushed()
    assert (await mautic.get(f"{HOOKS}/{hook}")).json()["hook"]["isPublished"]
    receiver.refusals[:] = [500] * 6
    for email in ("c@x.com", "d@x.com", "e@x.com"):
        user.add({"email": email})
        await sandbox.mautic.webhooks.flushed()
    assert len(receiver.posts) == 10
    assert not (await mautic.get(f"{HOOKS}/{hook}")).json()["hook"]["isPublished"]
    await mautic.patch(f"{HOOKS}/{hook}/edit", json={"isPublished": True})
    user.add({"email": "f@x.com"})
    await sandbox.mautic.webhooks.flushed()
    assert len(receiver.posts) == 11


async def test_a_webhook_is_made_listed_and_removed_over_the_api(
    sandbox: Sandbox, receiver: Receiver, mautic: httpx.AsyncClient
) -> None:
    """With a trigger that there is."""
    triggers = (await mautic.get(f"{HOOKS}/triggers")).json()["triggers"]
    assert triggers.keys() == {NEW, CHANGED, DELETED}
    body = {"name": "crmsync", "webhookUrl": receiver.url, "secret": "shh", "triggers": [DELETED]}
    made = await mautic.post(f"{HOOKS}/new", json={**body, "eventsOrderbyDir": "DESC"})
    assert made.status_code == 201
    (listed,) = (await mautic.get(HOOKS)).json()["hooks"]
    assert listed == made.json()["hook"]
    assert (listed["triggers"], listed["eventsOrderbyDir"]) == ([DELETED], "DESC")
    assert (await mautic.delete(f"{HOOKS}/1/delete")).status_code == 200
    assert (await mautic.get(f"{HOOKS}/1")).status_code == 404
    sandbox.mautic.user.remove(sandbox.mautic.user.add({"email": "a@x.com"}))
    await sandbox.mautic.webhooks.flushed()
    assert not receiver.posts


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "webhookUrl": "http://x.example", "triggers": ["mautic.moon_phase"]},
        {"name": "x", "webhookUrl": "http://x.example"},
        {"name": "x", "triggers": [NEW]},
        ["no object"],
    ],
)
async def test_a_webhook_that_mautic_does_not_take_is_a_400(
    mautic: httpx.AsyncClient, body: object
) -> None:
    """Nothing is subscribed."""
    assert (await mautic.post(f"{HOOKS}/new", json=body)).status_code == 400
    assert (await mautic.get(HOOKS)).json() == {"total": 0, "hooks": []}
