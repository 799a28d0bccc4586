"""The simulated Zoho's notification channels."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock
from tests.sandbox.receiver import receiving
from tests.sandbox.zoho_client import WATCH, asking, person, upsert


async def watch(
    client: httpx.AsyncClient,
    method: str = "POST",
    /,
    **channel: Any,  # noqa: ANN401 - JSON
) -> dict[str, Any]:
    """Open or change channel 7, and return what is said of it."""
    item = {"channel_id": "7", **channel}
    reply = await client.request(method, WATCH, json={"watch": [item]})
    (result,) = reply.json()["watch"]
    assert (reply.status_code == 202) == (result["status"] == "error")
    found: dict[str, Any] = result
    return found


async def test_a_channel_is_told_of_every_change_with_its_token(sandbox: Sandbox) -> None:
    """By a user or through the API; the ids of one call are told together."""
    async with asking(sandbox) as client, receiving() as receiver:
        await watch(client, events=["Contacts.all"], notify_url=receiver.url, token="t0")
        await upsert(client, person(1), person(2))
        ids = [one["id"] for one in sandbox.zoho.contacts()]
        sandbox.zoho.user.edit(ids[0], {"Phone": "1"})
        sandbox.zoho.user.remove(ids[1])
        await sandbox.zoho.webhooks.flushed()
        bodies = [post.json for post in receiver.posts]
    assert [(one["operation"], one["ids"]) for one in bodies] == [
        ("insert", ids),
        ("update", ids[:1]),
        ("delete", ids[1:]),
    ]
    assert {(one["channel_id"], one["token"], one["module"]) for one in bodies} == {
        ("7", "t0", "Contacts")
    }
    assert bodies[1]["affected_fields"] == [{ids[0]: ["Phone"]}]
    assert bodies[1]["affected_values"] == []


async def test_a_channel_hears_what_it_asked_for(sandbox: Sandbox) -> None:
    """Only edits, and with the new values."""
    async with asking(sandbox) as client, receiving() as receiver:
        await watch(
            client,
            events=["Contacts.edit"],
            notify_url=receiver.url,
            return_affected_field_values=True,
        )
        contact = sandbox.zoho.user.add(person(1))
        sandbox.zoho.user.edit(contact, {"Phone": "1"})
        await sandbox.zoho.webhooks.flushed()
        (body,) = [post.json for post in receiver.posts]
    assert body["affected_values"] == [{"record_id": contact, "values": {"Phone": "1"}}]


async def test_a_channel_expires_unless_it_is_renewed(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """After an hour, or when it was said; at most a day ahead."""
    async with asking(sandbox) as client, receiving() as receiver:
        opened = await watch(client, events=["Contacts.create"], notify_url=receiver.url)
        (event,) = opened["details"]["events"]
        assert event["channel_expiry"] == "2026-03-02T18:30:00+05:30"
        clock.move(minutes=50)
        until = (clock.now + timedelta(minutes=30)).isoformat()
        assert (await watch(client, "PATCH", channel_expiry=until))["code"] == "SUCCESS"
        clock.move(minutes=29)
        sandbox.zoho.user.add(person(1))
        clock.move(minutes=1)
        sandbox.zoho.user.add(person(2))
        await sandbox.zoho.webhooks.flushed()
        assert len(receiver.posts) == 1
    async with asking(sandbox) as client:
        assert (await client.get(WATCH)).status_code == 204
        late = await watch(client, "PATCH", channel_expiry=clock.now.isoformat())
        assert late["code"] == "NOT_SUBSCRIBED"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"events": []}, "MANDATORY_NOT_FOUND"),
        ({"notify_url": None}, "MANDATORY_NOT_FOUND"),
        ({"events": ["Leads.all"]}, "INVALID_DATA"),
        ({"notify_url": "ftp://x"}, "INVALID_DATA"),
        ({"token": "x" * 51}, "INVALID_DATA"),
        ({"channel_id": "seven"}, "INVALID_DATA"),
        ({"channel_expiry": "2026-03-04T12:00:00+00:00"}, "INVALID_DATA"),
        ({"channel_expiry": "2026-03-01T12:00:00+00:00"}, "INVALID_DATA"),
        ({"channel_expiry": "tomorrow"}, "INVALID_DATA"),
    ],
)
async def test_a_channel_that_will_not_do_is_told_why(
    sandbox: Sandbox, wrong: dict[str, object], code: str
) -> None:
    """In a 202, and it is not opened."""
    right = {"events": ["Contacts.all"], "notify_url": "http://127.0.0.1:1/"}
    async with asking(sandbox) as client:
        result = await watch(client, **{**right, **wrong})
        assert result["code"] == code
        assert result["details"]["api_name"] == next(iter(wrong))
        assert (await client.get(WATCH)).status_code == 204


async def test_a_channel_is_replaced_listed_and_closed(sandbox: Sandbox) -> None:
    """PUT sets all of it, PATCH only what it names."""
    url = "http://127.0.0.1:1/"
    async with asking(sandbox) as client:
        await watch(client, events=["Contacts.all"], notify_url=url, token="a")
        await watch(client, "PATCH", token="b")
        (shown,) = (await client.get(WATCH)).json()["watch"]
        assert (shown["token"], shown["events"]) == ("b", ["Contacts.all"])
        await watch(client, "PUT", events=["Contacts.edit"], notify_url=url)
        (shown,) = (await client.get(WATCH, params={"channel_id": "7"})).json()["watch"]
        assert (shown["token"], shown["events"]) == (None, ["Contacts.edit"])
        closed = await client.delete(WATCH, params={"channel_ids": "7,8"})
        assert [one["code"] for one in closed.json()["watch"]] == ["SUCCESS", "NOT_SUBSCRIBED"]


async def test_a_notification_can_be_lost_or_go_nowhere(sandbox: Sandbox) -> None:
    """Neither is noticed by whoever writes; later ones arrive."""
    async with asking(sandbox) as client, receiving() as receiver:
        await watch(client, events=["Contacts.all"], notify_url="http://127.0.0.1:1/")
        sandbox.zoho.user.add(person(1))
        await sandbox.zoho.webhooks.flushed()
        await watch(client, events=["Contacts.all"], notify_url=receiver.url)
        sandbox.zoho.faults.settings = FaultSettings(lost_notification_rate=1)
        sandbox.zoho.user.add(person(2))
        sandbox.zoho.faults.settings = FaultSettings()
        contact = sandbox.zoho.user.add(person(3))
        sandbox.zoho.user.notify("update", contact)
        await sandbox.zoho.webhooks.flushed()
        told = [(post.json["operation"], post.json["ids"]) for post in receiver.posts]
    assert told == [("insert", [contact]), ("update", [contact])]


async def test_a_merge_tells_of_both_and_a_seed_of_nobody(sandbox: Sandbox) -> None:
    """The loser is gone, the winner changed; many edited at once are told of at once."""
    async with asking(sandbox) as client, receiving() as receiver:
        await watch(client, events=["Contacts.all"], notify_url=receiver.url)
        ids = sandbox.zoho.user.seed(3, over=timedelta(hours=3))
        assert sandbox.zoho.user.merge(ids[0], ids[1]) == ids[1]
        sandbox.zoho.user.edit_many(ids[1:], {"Title": "Dr"})
        await sandbox.zoho.webhooks.flushed()
        told = [(post.json["operation"], post.json["ids"]) for post in receiver.posts]
    assert told == [("delete", ids[:1]), ("update", [ids[1]]), ("update", ids[1:])]
    with pytest.raises(KeyError):
        sandbox.zoho.user.edit(ids[0], {"Title": "Dr"})
    with pytest.raises(KeyError):
        sandbox.zoho.user.edit(ids[1], {"Titel": "Dr"})
