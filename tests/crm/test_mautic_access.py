"""Credentials for Mautic: which are needed, how tokens are had and kept, and the check of them."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qs

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Token
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced
from tests.crm.mautic_script import (
    APPLICATION,
    BASIC,
    BATCH,
    CONTACTS,
    SELF,
    TOKEN,
    error,
    instance,
    kept,
)
from tests.crm.support import SECRET, Purse, ScriptedCrm, delivery

Respond = Callable[[httpx.Request], httpx.Response]


def form(request: httpx.Request) -> dict[str, str]:
    """Return what a request for a token says."""
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def granting(
    *tokens: dict[str, object] | httpx.Response, good: str = "", answer: Respond = kept
) -> ScriptedCrm:
    """Return an instance that grants these tokens in turn; `good` is the only one it takes.

    Without it any token is good.
    """
    waiting = list(tokens)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            token = waiting.pop(0)
            return token if isinstance(token, httpx.Response) else httpx.Response(200, json=token)
        shown = request.headers["authorization"]
        return answer(request) if not good or shown == f"Bearer {good}" else error(401)

    return ScriptedCrm(respond)


def token(value: str, **more: object) -> dict[str, object]:
    """Return what the token endpoint grants."""
    return {"access_token": value, "expires_in": 3600, "token_type": "bearer", **more}


async def deliver(crm: ScriptedCrm, **secrets: str) -> Outcome:
    """Push one contact as an application."""
    (outcome,) = await instance(crm.tools(), APPLICATION | secrets).push([delivery(1)])
    return outcome


@pytest.mark.parametrize(
    ("secrets", "missing"),
    [
        ({}, "'username'"),
        ({"username": "sync"}, "'password'"),
        ({"username": "sync", "password": " "}, "'password'"),
        ({"client_id": "1_x"}, "'client_secret'"),
        ({"client_secret": SECRET}, "'client_id'"),
        ({"username": "a:b", "password": SECRET}, "'username' .* without a colon"),
    ],
)
def test_a_missing_secret_is_named(secrets: dict[str, str], missing: str) -> None:
    """And no value repeated."""
    with pytest.raises(ValueError, match=missing) as raised:
        instance(ScriptedCrm(kept).tools(), secrets)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("option", ["batch_size", "hourly_calls", "timeout_seconds"])
def test_a_wrong_option_is_named(option: str) -> None:
    """It must be a whole number."""
    with pytest.raises(ValueError, match=option):
        instance(ScriptedCrm(kept).tools(), None, **{option: "many"})


async def test_basic_credentials_of_any_characters_go_with_every_call() -> None:
    """To the instance's own address, whether it was given with /api or without."""
    crm = ScriptedCrm(kept)
    secrets = {"username": "zoë", "password": "pass: word "}
    await instance(crm.tools(), secrets).push([delivery(1)])
    (request,) = crm.requests
    header = base64.b64encode("zoë:pass: word ".encode()).decode()
    assert request.headers["authorization"] == f"Basic {header}"
    assert str(request.url) == f"https://mautic.test{BATCH}"


async def test_an_application_asks_for_a_token_with_its_own_credentials() -> None:
    """In the body, never in the address."""
    crm = granting(token("t-1"))
    assert isinstance(await deliver(crm), Synced)
    asked, delivered = crm.requests
    assert form(asked) == {**APPLICATION, "grant_type": "client_credentials"}
    assert SECRET not in str(asked.url)
    assert "authorization" not in asked.headers
    assert delivered.headers["authorization"] == "Bearer t-1"


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    """A second refusal is the credentials'."""
    crm = granting(token("t-1"), token("t-2"), good="t-2")
    assert isinstance(await deliver(crm), Synced)
    assert crm.paths == [TOKEN, BATCH, TOKEN, BATCH]
    with pytest.raises(CredentialsRefusedError):
        await deliver(granting(token("t-1"), token("t-2"), good="t-3"))


async def test_a_refresh_token_rotates_from_the_one_given() -> None:
    """The next renewal shows the new one."""
    crm = granting(token("t-1", refresh_token="r-1"), token("t-2", refresh_token="r-2"), good="t-2")
    assert isinstance(await deliver(crm, refresh_token="r-0"), Synced)
    shown = [
        form(request)["refresh_token"] for request in crm.requests if request.url.path == TOKEN
    ]
    assert shown == ["r-0", "r-1"]


async def test_a_rotated_refresh_token_that_is_void_gives_way_to_the_one_given() -> None:
    """An administrator has authorized the application anew."""
    void = httpx.Response(400, json={"error": "invalid_grant", "error_description": "no"})
    crm = granting(token("t-1", refresh_token="r-1"), void, token("t-2"), good="t-2")
    assert isinstance(await deliver(crm, refresh_token="r-0"), Synced)
    shown = [
        form(request)["refresh_token"] for request in crm.requests if request.url.path == TOKEN
    ]
    assert shown == ["r-0", "r-1", "r-0"]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(400, json={"error": "invalid_client", "error_description": "unknown"}),
        error(400, "unknown", type="invalid_client"),
        error(401, "unknown", type="invalid_client"),
    ],
)
async def test_an_application_that_is_refused_raises(reply: httpx.Response) -> None:
    """In either shape that Mautic gives the error."""
    with pytest.raises(CredentialsRefusedError, match="unknown"):
        await deliver(granting(reply))


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (error(403, "off", type="api_disabled"), Postponed, "API_DISABLED"),
        (error(429), Postponed, "RATE_LIMIT"),
        (error(503), Retry, "CRM_FAULT"),
        (error(500), Retry, "CRM_FAULT"),
        (error(504), Retry, "NO_TOKEN"),
        (httpx.Response(200, text="<html>"), Retry, "UNACCOUNTED"),
        (httpx.Response(200, json={"token": "x"}), Retry, "UNACCOUNTED"),
    ],
)
async def test_no_token_for_another_reason_leaves_the_batch_unsent(
    reply: httpx.Response, kind: type[Outcome], code: str
) -> None:
    """The credentials are not to blame."""
    crm = granting(reply)
    outcome = await deliver(crm)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "code", "") == code
    assert crm.paths == [TOKEN]


class Empty(Purse):
    """Has no token, because of something that has nothing to do with Mautic."""

    async def current(
        self, renew: Callable[[str], Awaitable[Token]], *, refused: str = ""
    ) -> Token:
        """Fail as the database does, or one who waited too long for it."""
        del renew, refused
        raise TimeoutError(SECRET)


async def test_a_token_that_cannot_be_fetched_leaves_the_batch_unsent() -> None:
    """So that nothing about the records is unknown; the check says that there was no answer."""
    crm = granting()
    adapter = instance(replace(crm.tools(), tokens=Empty()), APPLICATION)
    (outcome,) = await adapter.push([delivery(1)])
    assert outcome == Retry("NO_TOKEN", "no access token for Mautic (TimeoutError)")
    standing = await adapter.check()
    assert (standing.valid, standing.reachable) == (False, False)
    assert crm.requests == []


async def test_no_reply_repeats_a_token() -> None:
    """Nor what Basic credentials look like in a header."""

    def echo(request: httpx.Request) -> httpx.Response:
        return error(503, f"cannot serve {request.headers['authorization']}")

    hidden = await deliver(granting(token("t-secret"), answer=echo))
    assert "t-secret" not in repr(hidden)
    adapter = instance(ScriptedCrm(echo).tools())
    (outcome,) = await adapter.push([delivery(1)])
    assert "Basic [hidden]" in repr(outcome)
    assert SECRET not in repr(adapter)


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(201, json=token("t-secret", refresh_token="r-secret")),
        httpx.Response(200, json=token("", refresh_token="r-secret")),
        httpx.Response(200, json=token("t-secret\r\nx-evil: 1")),
        httpx.Response(200, json=token("t-secrét")),
        httpx.Response(200, json=token("t-secret" * 1_000)),
        httpx.Response(400, json={"error": "invalid_grant", **token("t-secret")}),
    ],
)
async def test_a_token_that_cannot_be_used_is_not_repeated(reply: httpx.Response) -> None:
    """Nor does it get into a header."""
    crm = granting(reply)
    outcome = await deliver(crm)
    assert isinstance(outcome, Retry)
    assert outcome.code == "NO_TOKEN"
    assert "-secr" not in repr(outcome)
    assert crm.paths == [TOKEN]


async def test_a_check_reads_the_user_and_one_contact() -> None:
    """And says who they are, where."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == SELF:
            headers = {"mautic-version": "5.1.1"}
            return httpx.Response(200, json={"id": 3, "username": "sync"}, headers=headers)
        return httpx.Response(200, json={"total": 0, "contacts": []})

    crm = ScriptedCrm(respond)
    standing = await instance(crm.tools()).check()
    assert standing.valid
    assert (standing.account_id, standing.message) == ("3", "Mautic 5.1.1 as user sync")
    assert crm.paths == [SELF, CONTACTS]
    assert {request.method for request in crm.requests} == {"GET"}
    assert dict(crm.requests[1].url.params) == {"limit": "1", "minimal": "1"}


@pytest.mark.parametrize(
    ("reply", "reachable", "words"),
    [
        (error(401, "wrong"), True, "refuses the credentials"),
        (error(403, "off", type="api_disabled"), True, "switched off"),
        (error(403, "no access"), True, "no access"),
        (httpx.Response(404, text="<html>"), True, "no API of Mautic at this address"),
        (httpx.Response(302, headers={"location": "https://x/login"}), True, "https://x/login"),
        (httpx.Response(200, text="<html>"), False, "answered 200"),
        (error(429), False, "answered 429"),
        (error(500), False, "answered 500"),
    ],
)
@pytest.mark.parametrize("secrets", [BASIC, APPLICATION])
async def test_a_check_tells_what_is_wrong(
    reply: httpx.Response, *, reachable: bool, words: str, secrets: dict[str, str]
) -> None:
    """The credentials, the configuration, the address, or nothing that can be told."""
    crm = granting(token("t-1"), token("t-2"), answer=lambda _: reply)
    standing = await instance(crm.tools(), secrets).check()
    assert (standing.valid, standing.reachable) == (False, reachable)
    assert words in standing.message


def oauth_refusal(code: str, status: int = 400) -> httpx.Response:
    """Return what the token endpoint answers when it grants nothing."""
    return httpx.Response(status, json={"error": code, "error_description": f"so: {code}"})


@pytest.mark.parametrize(
    ("door", "granted", "standing"),
    [
        (error(401), oauth_refusal("invalid_grant"), (True, True, "only a delivery proves it")),
        (error(401), oauth_refusal("invalid_client"), (False, True, "so: invalid_client")),
        (error(401), oauth_refusal("invalid_client", 401), (False, True, "so: invalid_client")),
        (error(401), httpx.Response(503), (False, False, "answered 503")),
        (error(401), httpx.Response(404), (False, True, "no API of Mautic")),
        (error(403, "off", type="api_disabled"), error(401), (False, True, "switched off")),
        (httpx.Response(200, text="<html>"), error(401), (False, False, "answered 200")),
    ],
)
async def test_a_check_does_not_use_up_a_refresh_token_that_nobody_keeps(
    door: httpx.Response, granted: httpx.Response, standing: tuple[bool, bool, str]
) -> None:
    """Whoever tests credentials before giving them still has them; the application is proved."""
    secrets = APPLICATION | {"refresh_token": "r-0"}

    def respond(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        return granted if request.url.path == TOKEN else door

    crm = ScriptedCrm(respond)
    tools = replace(crm.tools(), tokens=Purse(lasting=False))
    found = await instance(tools, secrets).check()
    valid, reachable, words = standing
    assert (found.valid, found.reachable) == (valid, reachable)
    assert words in found.message
    assert all(b"r-0" not in request.content for request in crm.requests)


async def test_a_check_tells_an_application_that_is_refused() -> None:
    """Although no call but that for a token was made."""
    reply = httpx.Response(400, json={"error": "invalid_client", "error_description": "unknown"})
    standing = await instance(granting(reply).tools(), APPLICATION).check()
    assert (standing.valid, standing.reachable) == (False, True)
    assert "unknown" in standing.message
