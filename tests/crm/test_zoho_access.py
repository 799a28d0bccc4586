"""Tokens for Zoho: how they are had and kept, where they lead, and the check of credentials."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Token
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced
from crmsync_server.crm.zoho import build
from tests.crm.support import NOW, SECRET, Purse, Rations, ScriptedCrm, delivery
from tests.crm.zoho_script import (
    ACCOUNTS,
    CONTACTS,
    FIELDS,
    ORG,
    SECRETS,
    TOKEN,
    UPSERT,
    Respond,
    adapter,
    error,
    form,
    kept,
    organization,
    token,
)

API = "https://www.zohoapis.com"


def granting(*tokens: httpx.Response, good: str = "", answer: Respond = kept) -> ScriptedCrm:
    """Return an organization that grants these tokens in turn; `good` is the only one it takes.

    Without it any token is good.
    """
    waiting = list(tokens)
    rest = organization(answer)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return waiting.pop(0)
        shown = request.headers["authorization"]
        wrong = good and shown != f"Zoho-oauthtoken {good}"
        return error(401, "INVALID_TOKEN", "invalid oauth token") if wrong else rest(request)

    return ScriptedCrm(respond)


async def deliver(crm: ScriptedCrm, *, base_url: str = API, **options: str) -> Outcome:
    """Push one contact without a company."""
    zoho = adapter(crm.tools(), base_url=base_url, **options)
    (outcome,) = await zoho.push([replace(delivery(1), company="")])
    return outcome


@pytest.mark.parametrize("name", ["client_id", "client_secret", "refresh_token"])
@pytest.mark.parametrize("value", [None, " "])
def test_a_missing_secret_is_named(name: str, value: str | None) -> None:
    """And no value repeated."""
    secrets = {key: told for key, told in SECRETS.items() if key != name}
    secrets |= {} if value is None else {name: value}
    with pytest.raises(ValueError, match=f"'{name}' of the zoho connection") as raised:
        build(Account("org-1", "zoho", API, secrets), organization().tools())
    assert SECRET not in str(raised.value)


async def test_a_token_is_asked_for_in_a_form() -> None:
    """At the accounts server; the secrets are in the body, never in the address."""
    crm = granting(token())
    assert isinstance(await deliver(crm), Synced)
    asked = crm.requests[0]
    assert str(asked.url) == "https://accounts.zoho.com/oauth/v2/token"
    assert form(asked) == {**SECRETS, "grant_type": "refresh_token"}
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(
    ("base_url", "options", "told", "accounts", "api"),
    [
        (API, {}, None, "accounts.zoho.com", "www.zohoapis.com"),
        (API, {}, "https://www.zohoapis.eu", "accounts.zoho.com", "www.zohoapis.eu"),
        (API, {}, "https://sandbox.zohoapis.com", "accounts.zoho.com", "sandbox.zohoapis.com"),
        (API, {}, "https://evil.test", "accounts.zoho.com", "www.zohoapis.com"),
        (API, {}, "http://www.zohoapis.com", "accounts.zoho.com", "www.zohoapis.com"),
        (API, {"accounts_url": "https://accounts.zoho.in/"}, None, "accounts.zoho.in",
         "www.zohoapis.in"),
        ("https://www.zohoapis.com.au", {}, None, "accounts.zoho.com.au", "www.zohoapis.com.au"),
        ("https://www.zohoapis.ca", {}, None, "accounts.zohocloud.ca", "www.zohoapis.ca"),
        ("https://www.zohoapis.eu", {}, API, "accounts.zoho.eu", "www.zohoapis.eu"),
        ("https://crm.test", {}, API, "crm.test", "crm.test"),
        ("https://crm.test", {"accounts_url": "https://accounts.zoho.eu"}, API,
         "accounts.zoho.eu", "crm.test"),
    ],
)  # fmt: skip
async def test_a_data_centre_is_found_from_whatever_names_it(
    base_url: str, options: dict[str, str], told: str | None, accounts: str, api: str
) -> None:
    """The connection's own host wins; a token leads to Zoho's hosts alone."""
    crm = granting(token(**({"api_domain": told} if told else {})))
    assert isinstance(await deliver(crm, base_url=base_url, **options), Synced)
    assert [request.url.host for request in crm.requests] == [accounts, api, api]


@pytest.mark.parametrize("url", ["https://evil.test", "https://accounts.zoho.xyz", "http://x"])
def test_credentials_go_to_no_other_host(url: str) -> None:
    """Whoever may change an option could have them sent to himself."""
    with pytest.raises(ValueError, match="'accounts_url'"):
        adapter(organization().tools(), accounts_url=url)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("edition", "gold"),
        ("daily_credits", "0"),
        ("burst_calls", "many"),
        ("trigger", "workflows"),
        ("duplicate_check_fields", "E mail"),
        ("company_field", "1"),
        ("bulk_read_threshold", "-1"),
    ],
)
def test_a_wrong_option_is_named(option: str, value: str) -> None:
    """Before anything is called."""
    with pytest.raises(ValueError, match=f"'{option}'"):
        adapter(organization().tools(), **{option: value})


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, {"credits": 50_000, "burst": 50}),
        ({"edition": "Free"}, {"credits": 5_000, "burst": 25}),
        ({"edition": "ultimate", "daily_credits": "7"}, {"credits": 7, "burst": 125}),
    ],
)
def test_an_edition_sets_what_may_be_called(
    options: dict[str, str], limits: dict[str, int]
) -> None:
    """Unless the options say otherwise."""
    found = adapter(organization().tools(), **options).capabilities
    assert {limit.bucket: limit.calls for limit in found.limits} == limits
    assert 1 <= found.concurrency <= 8


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    """A second refusal is the credentials'."""
    crm = granting(token("t-1"), token("t-2"), good="t-2")
    assert isinstance(await deliver(crm), Synced)
    assert crm.paths == [TOKEN, FIELDS, TOKEN, FIELDS, UPSERT]
    with pytest.raises(CredentialsRefusedError, match="INVALID_TOKEN"):
        await deliver(granting(token("t-1"), token("t-2"), good="t-3"))


async def test_a_missing_scope_renews_no_token() -> None:
    """Another one would lack it too."""
    crm = granting(token(), answer=lambda _: error(401, "OAUTH_SCOPE_MISMATCH"))
    with pytest.raises(CredentialsRefusedError, match="scope"):
        await deliver(crm)
    assert crm.paths.count(TOKEN) == 1


async def test_a_token_serves_until_it_ends() -> None:
    """Not for every call is one asked for."""
    crm = granting(token())
    zoho = adapter(crm.tools())
    for number in range(1, 4):
        await zoho.push([delivery(number)])
    assert crm.paths.count(TOKEN) == 1


def refusal(name: str, status: int = 200) -> httpx.Response:
    """Return what the accounts server answers when it grants nothing."""
    return httpx.Response(status, json={"error": name, "status": "failure"})


@pytest.mark.parametrize("name", ["invalid_code", "invalid_client", "invalid_client_secret"])
@pytest.mark.parametrize("status", [200, 400, 401])
async def test_credentials_that_are_refused_raise_whatever_the_status(
    name: str, status: int
) -> None:
    """200 is what Zoho gives; another data centre may be the reason."""
    with pytest.raises(CredentialsRefusedError, match=f"data centre .*{name}"):
        await deliver(granting(refusal(name, status)))


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (refusal("Access Denied"), Postponed, "TOKEN_LIMIT"),
        (refusal("access_denied", 400), Postponed, "TOKEN_LIMIT"),
        (error(429, "TOO_MANY_REQUESTS"), Postponed, "TOO_MANY_REQUESTS"),
        (httpx.Response(404, text="<html>"), Postponed, "NO_API"),
        (refusal("general_error"), Retry, "NO_TOKEN"),
        (httpx.Response(503, text="busy"), Retry, "CRM_FAULT"),
        (httpx.Response(504, text="bad"), Retry, "NO_TOKEN"),
        (httpx.Response(200, text="<html>"), Retry, "UNACCOUNTED"),
        (httpx.Response(200, json={}), Retry, "UNACCOUNTED"),
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


async def test_too_many_tokens_are_waited_out() -> None:
    """For the ten minutes that Zoho counts them in."""
    outcome = await deliver(granting(refusal("Access Denied")))
    assert isinstance(outcome, Postponed)
    assert outcome.until == NOW + timedelta(minutes=10)


async def test_asking_for_a_token_costs_no_credit() -> None:
    """Tokens are counted by another server."""
    quota = Rations()
    crm = granting(refusal("Access Denied"))
    await adapter(crm.tools(quota)).push([delivery(1)])
    assert quota.taken == []


class Empty(Purse):
    """Has no token, because of something that has nothing to do with Zoho."""

    async def current(
        self, renew: Callable[[str], Awaitable[Token]], *, refused: str = ""
    ) -> Token:
        """Fail as the database does, or one who waited too long for it."""
        del renew, refused
        raise TimeoutError(SECRET)


async def test_a_token_that_cannot_be_fetched_leaves_the_batch_unsent() -> None:
    """So that nothing about the records is unknown."""
    crm = granting()
    zoho = adapter(replace(crm.tools(), tokens=Empty()))
    (outcome,) = await zoho.push([delivery(1)])
    assert outcome == Retry("NO_TOKEN", "no access token for Zoho (TimeoutError)")
    assert crm.requests == []


async def test_no_reply_repeats_a_token_or_a_secret() -> None:
    """Whatever an error echoes."""

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, text=f"{request.headers['authorization']} {SECRET}")

    outcome = await deliver(granting(token("t-secret"), answer=echo))
    assert isinstance(outcome, Retry)
    assert "t-secret" not in repr(outcome)
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize(
    "reply",
    [
        token("t-secret\r\nx-evil: 1"),
        token("t-secrét"),
        token("t-secret" * 1_000),
        token(" t-secret"),
        httpx.Response(400, json={"error": "invalid_code", "access_token": "t-secret"}),
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


def there(request: httpx.Request) -> httpx.Response:
    """Answer a check of an organization that is empty."""
    if request.url.path == ORG:
        org = {"id": "9", "company_name": "Acme", "license_details": {"paid": False}}
        return httpx.Response(200, json={"org": [org]})
    return httpx.Response(204)


async def test_a_check_reads_one_contact_and_whose_organization_it_is() -> None:
    """An organization without contacts is as good."""
    crm = granting(token(), answer=there)
    standing = await adapter(crm.tools()).check()
    assert (standing.valid, standing.account_id) == (True, "9")
    assert standing.message == "Zoho CRM of Acme"
    assert crm.paths == [TOKEN, CONTACTS, ORG]
    assert dict(crm.requests[1].url.params) == {"fields": "id", "per_page": "1"}


async def test_a_check_does_without_the_organizations_name() -> None:
    """Its scope is not needed for syncing."""

    def respond(request: httpx.Request) -> httpx.Response:
        return error(401, "OAUTH_SCOPE_MISMATCH") if request.url.path == ORG else there(request)

    standing = await adapter(granting(token(), answer=respond).tools()).check()
    assert (standing.valid, standing.account_id) == (True, "")


@pytest.mark.parametrize(
    ("reply", "reachable", "code", "words"),
    [
        (error(401, "INVALID_TOKEN", "bad"), True, "", "refuses the credentials"),
        (error(401, "OAUTH_SCOPE_MISMATCH"), True, "OAUTH_SCOPE_MISMATCH", "credentials are good"),
        (error(403, "NO_PERMISSION"), True, "NO_PERMISSION", "does not allow"),
        (error(404, "INVALID_URL_PATTERN"), True, "INVALID_URL_PATTERN", "answered 404"),
        (error(429, "TOO_MANY_REQUESTS"), False, "TOO_MANY_REQUESTS", "answered 429"),
        (error(500, "INTERNAL_ERROR"), False, "INTERNAL_ERROR", "answered 500"),
        (httpx.Response(200, text="<html>"), False, "", "answered 200"),
    ],
)
async def test_a_check_tells_what_is_wrong(
    reply: httpx.Response, *, reachable: bool, code: str, words: str
) -> None:
    """The credentials, their scope, the address, or nothing that can be told."""
    crm = granting(token("t-1"), token("t-2"), answer=lambda _: reply)
    standing = await adapter(crm.tools()).check()
    assert (standing.valid, standing.reachable, standing.code) == (False, reachable, code)
    assert words in standing.message


@pytest.mark.parametrize(
    ("reply", "reachable", "code"),
    [
        (refusal("invalid_code"), True, ""),
        (refusal("Access Denied"), False, "TOKEN_LIMIT"),
        (httpx.Response(503), False, ""),
    ],
)
async def test_a_check_tells_why_there_is_no_token(
    reply: httpx.Response, *, reachable: bool, code: str
) -> None:
    """Although nothing else was asked."""
    standing = await adapter(granting(reply).tools()).check()
    assert (standing.valid, standing.reachable, standing.code) == (False, reachable, code)


async def test_companies_are_asked_for_with_the_same_token() -> None:
    """A token for each call would soon be ten."""
    crm = granting(token())
    await adapter(crm.tools()).push([delivery(1)])
    assert crm.paths == [TOKEN, FIELDS, ACCOUNTS, UPSERT]
