"""n8n connections: which URL, how its webhook is entered, and what is refused at once."""

from base64 import b64decode
from collections.abc import Mapping

import httpx
import jwt
import pytest

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.n8n import build
from tests.crm.support import NOW, SECRET, ScriptedCrm, delivery

URL = "https://n8n.test/webhook/contacts"
KEY = "a secret of thirty-two characters"


def connection(url: str = URL, secrets: Mapping[str, str] | None = None, **options: str) -> Account:
    """Return a connection."""
    return Account("org-1", "n8n", url, secrets or {}, options)


async def sent(account: Account) -> httpx.Request:
    """Deliver a contact and return the request."""
    crm = ScriptedCrm(lambda _: httpx.Response(200, json={"message": "Workflow was started"}))
    await build(account, crm.tools()).push([delivery(1)])
    (request,) = crm.requests
    return request


@pytest.mark.parametrize(
    "url",
    [
        "https://n8n.test/webhook-test/contacts",
        "https://n8n.test/WEBHOOK-TEST/contacts",
        "https://n8n.test//webhook-test//contacts",
        "https://n8n.test/%77ebhook-test/contacts",
        "https://n8n.test/n8n/webhook-test/contacts",
        "https://n8n.test/webhook-test%2Fcontacts",
        "https://n8n.test/webhook/%2e%2e/webhook-test/contacts",
    ],
)
def test_a_test_webhook_is_refused(url: str) -> None:
    """It takes one call, within two minutes; the reason says what to give instead."""
    with pytest.raises(ValueError, match=r"test webhook.*give its Production URL"):
        build(connection(url), ScriptedCrm(lambda _: httpx.Response(200)).tools())


def test_a_test_webhook_under_another_prefix_is_refused() -> None:
    """As N8N_ENDPOINT_WEBHOOK_TEST was set."""
    tools = ScriptedCrm(lambda _: httpx.Response(200)).tools()
    told = connection("https://n8n.test/try/contacts", test_prefix="/try/")
    with pytest.raises(ValueError, match="test webhook"):
        build(told, tools)
    build(connection("https://n8n.test/hooks/contacts", test_prefix="try"), tools)
    longer = connection("https://n8n.test/hooks/Try/contacts", test_prefix="hooks/try")
    with pytest.raises(ValueError, match="test webhook"):
        build(longer, tools)


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (connection("https://n8n.test"), "Production URL"),
        (connection("https://n8n.test/"), "Production URL"),
        (connection("n8n.test/webhook/x"), "must begin with https://"),
        (connection("https://u:p@n8n.test/webhook/x"), "user name or password"),
        (connection(auth="oauth"), "'auth'.*none, basic, header, jwt"),
        (connection(auth="basic"), "'username'.*missing"),
        (connection(secrets={"username": "u"}, auth="basic"), "'password'.*missing"),
        (connection(auth="header"), "'header_name'.*missing"),
        (connection(secrets={"header_name": "x-key"}, auth="header"), "'header_value'.*missing"),
        (
            connection(secrets={"header_name": "a b", "header_value": "x"}, auth="header"),
            "'header_name'.*header of its own",
        ),
        (
            connection(secrets={"header_name": "Host", "header_value": "x"}, auth="header"),
            "'header_name'.*header of its own",
        ),
        *(
            (
                connection(secrets={"header_name": name, "header_value": "x"}, auth="header"),
                "'header_name'.*header of its own",
            )
            for name in ("Upgrade", "Expect", "TE", "Proxy-Authorization", "Accept-Encoding")
        ),
        (
            connection(secrets={"username": "a:b", "password": "x"}, auth="basic"),
            "'username'.*without a colon",
        ),
        (
            connection(secrets={"header_name": "x-key", "header_value": "a\nb"}, auth="header"),
            "'header_value'.*illegal characters",
        ),
        (connection(auth="jwt"), "'jwt_secret' or 'token'"),
        (connection(secrets={"jwt_secret": "short"}, auth="jwt"), "'jwt_secret'.*32 characters"),
        (connection(secrets={"token": "a\tb"}, auth="jwt"), "'token'.*illegal characters"),
        (connection(response="maybe"), "'response'.*started, results"),
        (connection(receiver_deduplicates="yes"), "'receiver_deduplicates'.*true, false"),
        (connection(batch_size="0"), "'batch_size'.*above 0"),
        (connection(batch_size="1001"), "'batch_size'.*at most 1000"),
        (connection(calls_per_second="fast"), "'calls_per_second'.*above 0"),
        (connection(calls_per_second="9" * 30), "'calls_per_second'.*at most 1000000000"),
        (connection(concurrency="101"), "'concurrency'.*at most 100"),
        (connection(health_path="healthz"), "'health_path'.*slash"),
    ],
)
def test_what_cannot_work_is_refused_at_once(account: Account, reason: str) -> None:
    """By its name, and without repeating a secret."""
    with pytest.raises(ValueError, match=reason):
        build(account, ScriptedCrm(lambda _: httpx.Response(200)).tools())


async def test_without_authentication_nothing_is_told() -> None:
    """Also where secrets are left over from another kind."""
    request = await sent(connection(secrets={"username": "u", "password": SECRET}))
    assert "authorization" not in request.headers
    assert SECRET not in repr(request.headers.raw)


async def test_basic_authentication() -> None:
    """With any characters that a password may have."""
    secrets = {"username": "ada", "password": "pässword with spaces"}
    request = await sent(connection(secrets=secrets, auth="basic"))
    kind, _, pair = request.headers["authorization"].partition(" ")
    assert (kind, b64decode(pair).decode()) == ("Basic", "ada:pässword with spaces")


async def test_header_authentication() -> None:
    """By a header of any name."""
    secrets = {"header_name": "X-Api-Key", "header_value": SECRET}
    request = await sent(connection(secrets=secrets, auth="header"))
    assert request.headers["x-api-key"] == SECRET


async def test_a_jwt_is_minted_for_each_call() -> None:
    """By HS256, and good for five minutes."""
    request = await sent(connection(secrets={"jwt_secret": KEY}, auth="jwt"))
    token = request.headers["authorization"].removeprefix("Bearer ")
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options=options)
    assert claims == {
        "iss": "crmsync",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 300,
    }


async def test_a_ready_token_is_sent_as_it_is() -> None:
    """Where only its issuer can sign."""
    request = await sent(connection(secrets={"token": SECRET}, auth="jwt"))
    assert request.headers["authorization"] == f"Bearer {SECRET}"


def test_what_is_declared_follows_the_options() -> None:
    """Batches, the limit, and whether an unknown outcome may be tried again."""
    tools = ScriptedCrm(lambda _: httpx.Response(200)).tools()
    plain = build(connection(), tools).capabilities
    assert (plain.max_batch, plain.idempotent, plain.read_back) == (1, True, False)
    assert not plain.requires_email
    told = connection(
        batch_size="40", receiver_deduplicates="false", calls_per_second="3", concurrency="2"
    )
    able = build(told, tools).capabilities
    assert (able.max_batch, able.concurrency, able.idempotent) == (40, 2, False)
    assert [(limit.bucket, limit.calls) for limit in able.limits] == [("calls", 3)]
