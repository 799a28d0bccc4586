"""Which webhooks are Meta's, and the handshake before the first one."""

import hashlib
import hmac
from collections.abc import Mapping

import pytest

from crmsync_server.crm.messaging import Messaging
from crmsync_server.crm.webhook import Inbound
from tests.crm.support import NOW, SECRET, ScriptedCrm
from tests.crm.whatsapp_script import APP_SECRET, VERIFY, adapter

BODY = rb'{"object":"whatsapp_business_account","entry":[{"text":"Zo\u00eb \ud83d\ude00"}]}'
SHAKE = {"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "1158201444"}


def messaging(**secrets: str) -> Messaging:
    """Return the messages of an account with these secrets besides its token."""
    given = {"access_token": SECRET} | secrets
    return adapter(ScriptedCrm(lambda _: pytest.fail("called")).tools(), given).messaging


def signature(body: bytes, secret: str = APP_SECRET, kind: str = "sha256") -> str:
    """Return how Meta signs a body."""
    return f"{kind}={hmac.new(secret.encode(), body, kind).hexdigest()}"


def inbound(body: bytes, headers: Mapping[str, str]) -> Inbound:
    """Return a request."""
    return Inbound("POST", "https://us.test/webhooks/whatsapp", headers, body, NOW)


def is_genuine(body: bytes, given: str, secret: str = APP_SECRET) -> bool:
    """Judge a body with a signature."""
    return messaging(app_secret=secret).genuine(inbound(body, {"x-hub-signature-256": given}))


def test_a_body_that_the_app_s_secret_signed_is_genuine() -> None:
    """Over the bytes as they came, escapes and all."""
    assert is_genuine(BODY, signature(BODY))
    assert is_genuine(b"", signature(b""))
    assert not is_genuine(BODY + b"\n", signature(BODY))
    assert not is_genuine("Zoë".encode(), signature(rb"Zo\u00eb"))


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        "x",
        signature(BODY, "another"),
        signature(BODY).removeprefix("sha256="),
        signature(BODY).upper(),
        signature(BODY)[:-1],
        f"sha1={signature(BODY).removeprefix('sha256=')}",
        "sha256=\udcff\0é",
    ],
)
def test_another_signature_proves_nothing(given: str) -> None:
    """Whatever it looks like; nothing is raised."""
    assert not is_genuine(BODY, given)


def test_the_older_signature_is_not_looked_at() -> None:
    """Anybody who can break it could send anything."""
    old = {"x-hub-signature": signature(BODY, kind="sha1")}
    assert not messaging(app_secret=APP_SECRET).genuine(inbound(BODY, old))


@pytest.mark.parametrize("secrets", [{}, {"app_secret": ""}, {"app_secret": "  "}])
def test_nothing_is_genuine_without_a_secret(secrets: dict[str, str]) -> None:
    """Not even what was signed with none."""
    digest = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={digest}"}
    assert not messaging(**secrets).genuine(inbound(BODY, headers))


def test_the_handshake_is_answered_with_its_challenge() -> None:
    """As it came."""
    assert messaging(verify_token=VERIFY).challenge(SHAKE) == "1158201444"


@pytest.mark.parametrize(
    "changed",
    [
        {"hub.mode": "unsubscribe"},
        {"hub.mode": ""},
        {"hub.verify_token": "another"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "\udcffé"},
    ],
)
def test_another_handshake_is_not_answered(changed: dict[str, str]) -> None:
    """Nobody learns why."""
    assert messaging(verify_token=VERIFY).challenge(SHAKE | changed) is None


def test_a_handshake_without_a_part_of_it_is_not_answered() -> None:
    """Whichever it is."""
    for name in SHAKE:
        partial = {key: given for key, given in SHAKE.items() if key != name}
        assert messaging(verify_token=VERIFY).challenge(partial) is None


def test_no_handshake_is_answered_without_a_token_of_ours() -> None:
    """Not even one that shows none."""
    for given in (SHAKE, SHAKE | {"hub.verify_token": ""}):
        assert messaging().challenge(given) is None
        assert messaging(verify_token=" ").challenge(given) is None
