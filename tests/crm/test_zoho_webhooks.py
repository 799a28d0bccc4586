"""Notifications of Zoho: whether they show the token, and which contacts they are about."""

import json
from collections.abc import Mapping

import pytest

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError, webhooks_of
from crmsync_server.crm.zoho import build
from crmsync_server.crm.zoho_webhooks import ZohoWebhooks
from tests.crm.support import NOW
from tests.crm.zoho_script import SECRETS, organization

TOKEN = "a-token-that-only-we-know"
TOLD: Mapping[str, object] = {
    "server_time": 1_795_262_400_000,
    "module": "Contacts",
    "ids": ["5000000000000000001", "5000000000000000002"],
    "operation": "update",
    "channel_id": "1000000068001",
    "token": TOKEN,
}


def inbound(body: object) -> Inbound:
    """Return a notification with this body, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inbound("POST", "https://sync.test/webhooks/zoho", {}, raw, NOW)


def webhooks(token: str = TOKEN) -> ZohoWebhooks:
    """Return what reads the notifications of an account with this token."""
    account = Account(
        "org-1", "zoho", "https://www.zohoapis.com", {**SECRETS, "webhook_token": token}
    )
    found = webhooks_of(build(account, organization().tools()))
    assert isinstance(found, ZohoWebhooks)
    return found


def test_a_notification_with_the_token_is_genuine() -> None:
    """Any other, or none, is not."""
    assert webhooks().genuine(inbound(TOLD))
    for token in ("", "a-token", f"{TOKEN}x", None, 5, [TOKEN], "\ud800"):
        assert not webhooks().genuine(inbound({**TOLD, "token": token}))


@pytest.mark.parametrize("body", [b"", b"<xml>", b"[]", b"\xff", b"[" * 100_000, b'"x"'])
def test_a_body_that_is_none_is_not_genuine(body: bytes) -> None:
    """And nothing is raised."""
    assert not webhooks().genuine(inbound(body))


def test_without_a_token_nothing_is_genuine() -> None:
    """Least of all what shows none."""
    for token in ("", " "):
        assert not webhooks(token).configured
        assert not webhooks(token).genuine(inbound({**TOLD, "token": token}))
    assert webhooks().configured


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("insert", NoticeKind.CHANGED),
        ("update", NoticeKind.CHANGED),
        ("restore", NoticeKind.CHANGED),
        ("delete", NoticeKind.DELETED),
        ("DELETE", NoticeKind.DELETED),
    ],
)
def test_each_contact_of_a_notification_is_a_notice(operation: str, kind: NoticeKind) -> None:
    """By the id that it has in Zoho."""
    notices = webhooks().read(inbound({**TOLD, "operation": operation}))
    assert [(one.crm_contact_id, one.kind) for one in notices] == [
        ("5000000000000000001", kind),
        ("5000000000000000002", kind),
    ]


def test_a_notification_sent_again_has_the_same_keys_and_another_one_has_others() -> None:
    """Also where Zoho tells no time."""

    def keys(**more: object) -> set[str]:
        found: list[Notice] = list(webhooks().read(inbound({**TOLD, **more})))
        assert all(0 < len(one.key) <= 200 for one in found)
        return {one.key for one in found}

    assert keys() == keys()
    assert len(keys()) == 2
    for other in ({"server_time": 1}, {"operation": "insert"}, {"channel_id": "2"}):
        assert not keys() & keys(**other)
    timeless = {"server_time": None}
    assert keys(**timeless) == keys(**timeless)
    assert not keys(**timeless) & keys(**timeless, affected_values=[{"x": 1}])


def test_other_modules_are_left_out() -> None:
    """They are about no contact."""
    assert list(webhooks().read(inbound({**TOLD, "module": "Leads"}))) == []


@pytest.mark.parametrize("missing", ["module", "operation", "ids"])
def test_a_notification_that_makes_no_sense_says_why(missing: str) -> None:
    """Without quoting it."""
    told = {name: value for name, value in TOLD.items() if name != missing}
    with pytest.raises(UnreadableError) as raised:
        webhooks().read(inbound(told))
    assert TOKEN not in str(raised.value)
