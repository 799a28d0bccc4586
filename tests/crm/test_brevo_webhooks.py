"""Which webhooks are Brevo's, and which contacts they are about."""

import json
from collections.abc import Mapping, Sequence

import pytest

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.brevo_webhooks import BrevoWebhooks
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError, webhooks_of
from tests.crm.brevo_script import adapter, brevo_crm
from tests.crm.loopback import loopback
from tests.crm.support import NOW
from tests.sandbox.receiver import receiving

TOKEN = "a-token-that-nobody-guesses"
UPDATED = {
    "id": 99,
    "email": "Ann@Example.com",
    "event": "contact_updated",
    "key": "x",
    "content": [{"FIRSTNAME": "Ann"}],
    "ts": 1604937337,
}


def webhooks(token: str = TOKEN, **options: str) -> BrevoWebhooks:
    """Return what an account sends, with a token or, where it is empty, without one."""
    secrets = {"webhook_token": token} if token else {}
    return BrevoWebhooks(Account("org-1", "brevo", "https://brevo.test", secrets, options))


def inbound(body: object = None, headers: Mapping[str, str] | None = None) -> Inbound:
    """Return a request."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inbound("POST", "https://us.test/webhooks", headers or {}, raw, NOW)


def read(body: object) -> Sequence[Notice]:
    """Read a body."""
    return webhooks().read(inbound(body))


def about(body: object) -> list[tuple[NoticeKind, str]]:
    """Return what a body tells, without keys."""
    return [(notice.kind, notice.email) for notice in read(body)]


def test_the_adapter_says_how_its_webhooks_are_read() -> None:
    """Without a token it reads none."""
    found = webhooks_of(adapter(brevo_crm({})))
    assert found is not None
    assert not found.configured


@pytest.mark.parametrize(
    ("options", "headers", "genuine"),
    [
        ({}, {"authorization": f"Bearer {TOKEN}"}, True),
        ({}, {"authorization": f"bearer  {TOKEN} "}, True),
        ({}, {"authorization": TOKEN}, False),
        ({}, {"authorization": f"Basic {TOKEN}"}, False),
        ({}, {"authorization": f"Bearer {TOKEN}x"}, False),
        ({}, {"authorization": "Bearer \udcff\0é"}, False),
        ({}, {"authorization": "Bearer "}, False),
        ({}, {"x-token": TOKEN}, False),
        ({}, {}, False),
        ({"webhook_header": "X-Token"}, {"x-token": TOKEN}, True),
        ({"webhook_header": "X-Token"}, {"x-token": "other"}, False),
        ({"webhook_header": "X-Token"}, {"authorization": f"Bearer {TOKEN}"}, False),
    ],
)
def test_only_what_brings_the_token_where_it_belongs_is_genuine(
    options: Mapping[str, str], headers: Mapping[str, str], *, genuine: bool
) -> None:
    """As a bearer's, or in the header that was named."""
    assert webhooks(**options).genuine(inbound(headers=headers)) is genuine


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}])
def test_nothing_is_genuine_without_a_token(headers: Mapping[str, str]) -> None:
    """An empty one fits no empty secret."""
    assert not webhooks("").configured
    assert not webhooks("").genuine(inbound(headers=headers))


def test_a_header_that_is_none_is_refused_with_its_name() -> None:
    """When the connection is made, not when a webhook comes."""
    with pytest.raises(ValueError, match="webhook_header"):
        webhooks(webhook_header="X Token:")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("contact_updated", NoticeKind.CHANGED),
        ("contactUpdated", NoticeKind.CHANGED),
        ("list_addition", NoticeKind.CHANGED),
        ("unsubscribe", NoticeKind.CHANGED),
        ("contact_deleted", NoticeKind.DELETED),
    ],
)
def test_events_that_change_a_contact_are_about_its_address(event: str, kind: NoticeKind) -> None:
    """The id of an event is the webhook's, and no contact's."""
    assert about({**UPDATED, "event": event}) == [(kind, "ann@example.com")]


def test_a_batch_is_read_event_by_event_and_others_are_left_out() -> None:
    """Openings and clicks change no contact; a phone's invented address names none."""
    events = [
        {"event": "opened", "email": "b@example.com"},
        {"event": "contact_updated", "email": "33199990001@mailin-sms.com"},
        {"event": "contact_deleted", "email": ["c@example.com", "d@example.com"]},
        "no event",
    ]
    deleted = NoticeKind.DELETED
    assert about(events) == [(deleted, "c@example.com"), (deleted, "d@example.com")]


def test_a_changed_address_is_about_both() -> None:
    """The former one is gone, the new one is there."""
    changed = {**UPDATED, "content": [{"EMAIL": "new@example.com"}]}
    kind = NoticeKind.CHANGED
    assert about(changed) == [(kind, "ann@example.com"), (kind, "new@example.com")]


def test_a_repeated_event_has_the_same_key_and_another_one_has_not() -> None:
    """Alone or in a batch, whatever the order of its fields."""
    (first,) = read(UPDATED)
    (again,) = read([dict(reversed(UPDATED.items()))])
    (other,) = read({**UPDATED, "content": [{"FIRSTNAME": "Eve"}]})
    assert first == again
    assert other.key != first.key
    assert len(first.key) <= 200


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", [], {}, 7, "x", [[]], {"event": ""}])
def test_a_body_without_events_is_unreadable_and_not_quoted(body: object) -> None:
    """Nothing of what came is told."""
    with pytest.raises(UnreadableError, match=r"^the body (is no JSON|holds no event)$"):
        read(body)


@pytest.mark.parametrize("batched", [False, True])
async def test_what_the_simulated_account_sends_is_genuine_and_read(*, batched: bool) -> None:
    """One by one or in arrays; a changed address is told by the new one."""
    async with loopback() as crms, receiving() as receiver:
        simulator = crms.sandbox.brevo
        simulator.subscribe(receiver.url, token=TOKEN, batched=batched)
        ann = simulator.user.add({"email": "ann@example.com", "listIds": [7]})
        simulator.user.edit(ann, {"FIRSTNAME": "Ann"})
        simulator.user.remove(ann)
        await simulator.webhooks.flushed()
        found: list[Notice] = []
        for post in receiver.posts:
            sent = Inbound("POST", receiver.url, post.headers, post.body, NOW)
            assert webhooks().genuine(sent)
            assert not webhooks("another").genuine(sent)
            found += webhooks().read(sent)
        assert {(one.kind, one.email) for one in found} == {
            (NoticeKind.CHANGED, "ann@example.com"),
            (NoticeKind.DELETED, "ann@example.com"),
        }
        assert len({one.key for one in found}) == len(found)
