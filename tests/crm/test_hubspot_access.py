"""An OAuth application at HubSpot: its secrets, its tokens, and the check of them."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs

import httpx
import pytest

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Tools
from crmsync_server.crm.hubspot import build
from crmsync_server.crm.hubspot_day import DETAILS
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced
from tests.crm.hubspot_script import (
    APPLICATION,
    INTROSPECT,
    TOKEN,
    UPSERT,
    accepted,
    application,
    hubspot,
    refusal,
)
from tests.crm.support import NOW, SECRET, Purse, Rations, ScriptedCrm, account, delivery


def form(request: httpx.Request) -> dict[str, str]:
    """Return what a request to the token endpoint says."""
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def token(value: str, **more: object) -> httpx.Response:
    """Return what the token endpoint grants."""
    body = {"access_token": value, "expires_in": 1800, "hub_id": 4242, **more}
    return httpx.Response(200, json=body)


def granting(*tokens: httpx.Response, good: str = "") -> ScriptedCrm:
    """Return a portal that grants these tokens in turn; `good` alone has not expired."""
    waiting = list(tokens)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return waiting.pop(0)
        if good and request.headers["authorization"] != f"Bearer {good}":
            return refusal(401, category="EXPIRED_AUTHENTICATION", message="expired")
        if request.url.path == DETAILS:
            return httpx.Response(200, json={"portalId": 4242, "timeZone": "UTC"})
        return accepted(request) if request.method == "POST" else httpx.Response(200, json={})

    return ScriptedCrm(respond)


async def deliver(crm: ScriptedCrm) -> Outcome:
    """Push one contact as an application."""
    (outcome,) = await application(crm.tools()).push([delivery(1)])
    return outcome


@pytest.mark.parametrize(
    ("secrets", "named"),
    [
        ({}, "'token'"),
        ({"client_secret": SECRET}, "'token'"),
        ({"refresh_token": SECRET}, "'client_id'"),
        ({"client_id": "app-1", "refresh_token": SECRET}, "'client_secret'"),
        ({"client_id": "app-1", "client_secret": SECRET}, "'refresh_token'"),
        ({**APPLICATION, "token": SECRET}, "'token' .* must be left out"),
    ],
)
def test_a_secret_that_is_missing_or_too_many_is_named(secrets: dict[str, str], named: str) -> None:
    """And no value repeated."""
    given = Account("org-1", "hubspot", "https://hubspot.test", secrets)
    with pytest.raises(ValueError, match=named) as raised:
        build(given, ScriptedCrm(accepted).tools())
    assert SECRET not in str(raised.value)


async def test_a_private_app_s_token_goes_with_an_application_s_secret() -> None:
    """The secret verifies its webhooks; no token is asked for."""
    crm = ScriptedCrm(accepted)
    secrets = {"token": "pat-1", "client_secret": SECRET}
    adapter = build(replace(account("hubspot"), secrets=secrets), crm.tools())
    assert adapter.webhooks.configured
    await adapter.push([delivery(1)])
    assert crm.requests[0].headers["authorization"] == "Bearer pat-1"
    assert await adapter.directory.refresh_token() is None
    assert crm.paths == [UPSERT]


async def test_an_application_renews_its_token_with_its_secrets_in_the_body() -> None:
    """It costs nothing of the portal's allowance, and is done once."""
    crm, quota = granting(token("t-1")), Rations()
    adapter = application(crm.tools(quota))
    for number in (1, 2):
        (outcome,) = await adapter.push([delivery(number)])
        assert isinstance(outcome, Synced)
    asked, *delivered = crm.requests
    assert form(asked) == {**APPLICATION, "grant_type": "refresh_token"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers
    assert {request.headers["authorization"] for request in delivered} == {"Bearer t-1"}
    assert quota.taken == ["daily", "burst"] * 2


async def test_a_token_is_renewed_when_its_time_is_over() -> None:
    """As HubSpot told it, with the refresh token that came with it."""
    now = NOW
    crm = granting(token("t-1", refresh_token="r-1", expires_in=60), token("t-2"))
    tools = crm.tools()
    adapter = application(Tools(tools.client, lambda: now, tools.quota, Purse(lambda: now)))
    await adapter.push([delivery(1)])
    now = NOW + timedelta(seconds=61)
    await adapter.push([delivery(2)])
    renewals = [form(one)["refresh_token"] for one in crm.requests if one.url.path == TOKEN]
    assert renewals == ["r-0", "r-1"]


async def test_a_refresh_token_that_comes_back_unchanged_is_used_again() -> None:
    """As HubSpot's does: it is a secret of the account, and hidden in what is read."""
    now, long = NOW, "a-refresh-token-that-stays"
    crm = granting(*(token(f"t-{n}", refresh_token=long, expires_in=60) for n in (1, 2, 3)))
    tools = crm.tools()
    given = replace(account("hubspot"), secrets=APPLICATION | {"refresh_token": long})
    adapter = build(given, Tools(tools.client, lambda: now, tools.quota, Purse(lambda: now)))
    for number in (1, 2, 3):
        await adapter.push([delivery(number)])
        now += timedelta(seconds=61)
    renewals = [form(one)["refresh_token"] for one in crm.requests if one.url.path == TOKEN]
    assert renewals == [long] * 3


async def test_a_refusal_alone_does_not_renew_a_token() -> None:
    """HubSpot says so: it may have other reasons, and a thousand calls would ask for a token."""

    def respond(request: httpx.Request) -> httpx.Response:
        return token("t-1") if request.url.path == TOKEN else refusal(401, message="no")

    crm = ScriptedCrm(respond)
    with pytest.raises(CredentialsRefusedError):
        await deliver(crm)
    assert crm.paths == [TOKEN, UPSERT]


async def test_a_refusal_that_names_the_expiry_renews_it_once() -> None:
    """The clocks differ; a second refusal is the credentials'."""
    crm = granting(token("t-1"), token("t-2"), good="t-2")
    assert isinstance(await deliver(crm), Synced)
    assert crm.paths == [TOKEN, UPSERT, TOKEN, UPSERT]
    with pytest.raises(CredentialsRefusedError):
        await deliver(granting(token("t-1"), token("t-2"), good="t-3"))


async def test_a_refresh_token_that_is_void_gives_way_to_the_one_given() -> None:
    """An administrator has authorized the application anew."""
    void = refusal(400, message="missing or invalid refresh token")
    crm = granting(token("t-1", refresh_token="r-1"), void, token("t-2"), good="t-2")
    assert isinstance(await deliver(crm), Synced)
    renewals = [form(one)["refresh_token"] for one in crm.requests if one.url.path == TOKEN]
    assert renewals == ["r-0", "r-1", "r-0"]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_an_application_that_is_refused_raises(status: int) -> None:
    """In HubSpot's own words."""
    with pytest.raises(CredentialsRefusedError, match="missing or unknown client id"):
        await deliver(granting(refusal(status, message="missing or unknown client id")))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(429), Postponed),
        (refusal(477), Postponed),
        (httpx.Response(503, text="<html>"), Retry),
        (httpx.Response(404, text="<html>"), Retry),
        (httpx.Response(200, text="<html>"), Retry),
        (httpx.Response(200, json={"token": "x"}), Retry),
        (
            httpx.Response(201, json={"access_token": "t-secret", "refresh_token": "r-secret"}),
            Retry,
        ),
        (token("t-secret\r\nx-evil: 1"), Retry),
        (token("t-secret" * 1_000), Retry),
    ],
)
async def test_no_token_for_another_reason_leaves_the_batch_unsent(
    reply: httpx.Response, kind: type[Outcome]
) -> None:
    """The credentials are not to blame; no token is repeated."""
    crm = granting(reply)
    outcome = await deliver(crm)
    assert isinstance(outcome, kind)
    assert "-secr" not in repr(outcome)
    assert crm.paths == [TOKEN]


async def test_no_reply_repeats_a_token() -> None:
    """Nor the application's secret."""

    def echo(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return token("t-secret")
        return refusal(503, message=f"{request.headers['authorization']} {SECRET}")

    outcome = await deliver(ScriptedCrm(echo))
    assert isinstance(outcome, Retry)
    assert "t-secret" not in repr(outcome)
    assert SECRET not in repr(outcome)
    assert "[hidden]" in outcome.message


async def test_a_check_of_an_application_reads_the_portal() -> None:
    """As that of a token does."""
    crm = granting(token("t-1"))
    standing = await application(crm.tools()).check()
    assert (standing.valid, standing.account_id) == (True, "4242")
    assert crm.paths == [TOKEN, DETAILS, CONTACTS]
    refused = granting(refusal(400, message="missing or unknown client id"))
    standing = await application(refused.tools()).check()
    assert (standing.valid, standing.reachable) == (False, True)
    assert "unknown client id" in standing.message


@pytest.mark.parametrize(
    ("reply", "valid", "reachable", "words"),
    [
        (httpx.Response(200, json={"active": True, "hub_id": 4242}), True, True, "4242"),
        (httpx.Response(200, json={"active": True}), True, True, "refresh token"),
        (httpx.Response(200, json={"active": True, "hub_id": 7}), False, True, "portal 7"),
        (httpx.Response(200, json={"active": False}), False, True, "not know the refresh token"),
        (refusal(400, message="unknown client"), False, True, "unknown client"),
        (refusal(401, message="wrong secret"), False, True, "wrong secret"),
        (httpx.Response(503), False, False, "503"),
    ],
)
async def test_a_check_does_not_use_up_a_refresh_token_that_nobody_keeps(
    reply: httpx.Response, *, valid: bool, reachable: bool, words: str
) -> None:
    """Whoever tests credentials before giving them still has them."""
    crm = ScriptedCrm(lambda _: reply)
    tools = replace(crm.tools(), tokens=Purse(lasting=False))
    standing = await application(tools, portal_id="4242").check()
    assert (standing.valid, standing.reachable) == (valid, reachable)
    assert words in standing.message
    (asked,) = crm.requests
    assert asked.url.path == INTROSPECT
    assert (form(asked)["token"], form(asked)["token_type_hint"]) == ("r-0", "refresh_token")


async def test_a_token_that_is_asked_for_is_renewed_once() -> None:
    """Also where the one that was kept had ended by itself."""
    crm = granting(token("t-1"), token("t-2", expires_in=3600))
    directory = application(crm.tools()).directory
    assert await directory.refresh_token() == NOW + timedelta(minutes=30)
    assert crm.paths == [TOKEN]
    assert await directory.refresh_token() == NOW + timedelta(hours=1)
    assert crm.paths == [TOKEN, TOKEN]


async def test_a_token_that_cannot_be_renewed_is_trouble() -> None:
    """A refusal is raised."""
    directory = application(granting(httpx.Response(503)).tools()).directory
    assert isinstance(await directory.refresh_token(), Retry)
    directory = application(granting(refusal(400, message="no")).tools()).directory
    with pytest.raises(CredentialsRefusedError):
        await directory.refresh_token()


async def test_a_push_of_an_application_may_take_as_long_as_a_new_token_takes() -> None:
    """The lease of its records must be longer."""
    tools = ScriptedCrm(accepted).tools()
    longer = application(tools).capabilities.push_timeout
    assert longer > hubspot(tools).capabilities.push_timeout
