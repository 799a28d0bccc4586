"""Which webhooks are Mautic's, and which contacts they are about."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

import pytest

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.mautic_webhooks import MauticWebhooks
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError, webhooks_of
from tests.crm.mautic_script import instance
from tests.crm.support import NOW, ScriptedCrm

SIGNING = "a-secret-that-nobody-guesses"
NEW, UPDATE, DELETE = (f"mautic.lead_post_{name}" for name in ("save_new", "save_update", "delete"))


def webhooks(secret: str = SIGNING) -> MauticWebhooks:
    """Return what an instance sends, with a secret or, where it is empty, without one."""
    secrets = {"webhook_secret": secret} if secret else {}
    return MauticWebhooks(Account("org-1", "mautic", "https://mautic.test", secrets))


def inbound(body: object, headers: Mapping[str, str] | None = None) -> Inbound:
    """Return a request."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inbound("POST", "https://us.test/webhooks", headers or {}, raw, NOW)


def signature(body: bytes, secret: str = SIGNING) -> str:
    """Return how Mautic signs a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def change(number: int, **more: object) -> dict[str, object]:
    """Return a payload about a contact."""
    return {"contact": {"id": number}, "timestamp": "2026-11-21T12:00:00+00:00", **more}


def read(body: object) -> Sequence[Notice]:
    """Read a body."""
    return webhooks().read(inbound(body))


def about(body: object) -> list[tuple[NoticeKind, str]]:
    """Return what a body tells, without keys."""
    return [(notice.kind, notice.crm_contact_id) for notice in read(body)]


def test_the_adapter_says_how_its_webhooks_are_read() -> None:
    """Without a secret it reads none."""
    found = webhooks_of(instance(ScriptedCrm(lambda _: pytest.fail("called")).tools()))
    assert found is not None
    assert not found.configured


def test_a_signed_body_is_genuine_and_every_other_one_is_not() -> None:
    """The signature is over the bytes as they came."""
    body = '{"mautic.lead_post_delete":[{"id":7,"name":"Zoë"}]}'.encode()
    good = {"webhook-signature": signature(body)}
    assert webhooks().genuine(inbound(body, good))
    assert not webhooks().genuine(inbound(body + b" ", good))
    assert not webhooks("another").genuine(inbound(body, good))
    for bad in ("", "x", signature(body).lower(), signature(body, "x"), "\udcff\0é"):
        assert not webhooks().genuine(inbound(body, {"webhook-signature": bad}))
    assert not webhooks().genuine(inbound(body))


def test_nothing_is_genuine_without_a_secret() -> None:
    """Not even what was signed with none."""
    assert not webhooks("").configured
    for given in ("", signature(b"{}", "")):
        assert not webhooks("").genuine(inbound(b"{}", {"webhook-signature": given}))


def test_events_are_about_the_contacts_of_their_payloads() -> None:
    """Those of other things are left out; a deleted contact's id stands beside it."""
    body = {
        UPDATE: [change(7), change(8)],
        NEW: [{"lead": {"id": "9"}}],
        DELETE: [change(0, id=5) | {"contact": {"id": None}}],
        "mautic.email_on_open": [change(11)],
        "mautic.lead_company_change": [change(12)],
        "timestamp": "x",
    }
    changed = NoticeKind.CHANGED
    assert about(body) == [
        (changed, "7"),
        (changed, "8"),
        (changed, "9"),
        (NoticeKind.DELETED, "5"),
        (changed, "12"),
    ]


def test_a_merge_is_about_both_contacts() -> None:
    """In whatever order they come."""
    body = {DELETE: [{"id": 5, "contact": {"id": None}}], UPDATE: [change(7)]}
    assert set(about(body)) == {(NoticeKind.DELETED, "5"), (NoticeKind.CHANGED, "7")}


def test_a_payload_that_stands_alone_is_read_too() -> None:
    """As in a test that Mautic sends; one without a contact is left out."""
    assert about({UPDATE: change(7)}) == [(NoticeKind.CHANGED, "7")]
    assert about({UPDATE: [{"contact": []}, 7, {"contact": {"id": "x"}}]}) == []


def test_a_repeated_payload_has_the_same_key_and_another_change_has_not() -> None:
    """In the same second too, and with other events beside it."""
    (first,) = read({UPDATE: [change(7)]})
    _, again = read({NEW: [change(6)], UPDATE: [change(7)]})
    (other,) = read({UPDATE: [change(7, points=1)]})
    assert first == again
    assert other.key != first.key
    assert len(first.key) <= 200


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", [], {}, 7, {"event": "contact_updated"}])
def test_a_body_without_events_is_unreadable_and_not_quoted(body: object) -> None:
    """Nothing of what came is told."""
    with pytest.raises(UnreadableError, match=r"^the body (is no JSON|holds no event)$"):
        read(body)
