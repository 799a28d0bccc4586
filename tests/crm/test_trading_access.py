"""Calls to the Trading CRM are authorized: by a token that is renewed in time, or by a key."""

import json
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm import trading
from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Tools
from crmsync_server.crm.leads import Registered, Signup
from crmsync_server.crm.outcomes import Postponed, Retry
from crmsync_server.crm.transport import GuardedTransport
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from tests.crm.support import NOW, SECRET, Purse, Rations, ScriptedCrm
from tests.crm.trading_bench import KEY, LOGIN, bench


async def test_a_token_is_asked_for_once_and_renewed_an_hour_early() -> None:
    """Before that the same one is used; nothing is refused in between."""
    async with bench() as world:
        leads = world.adapter().leads
        for hours, issued in ((0, 1), (21.9, 1), (22, 2), (43.9, 2), (44, 3)):
            world.now = NOW + timedelta(hours=hours)
            assert await leads.by_ids(["s-1"]) == []
            assert world.broker.tokens.issued == issued


async def test_a_token_without_a_term_is_taken_for_one_of_23_hours() -> None:
    """As this API's callers do."""
    async with bench(tells_expiry=False) as world:
        leads = world.adapter().leads
        for hours, issued in ((0, 1), (21.9, 1), (22, 2)):
            world.now = NOW + timedelta(hours=hours)
            assert await leads.by_ids(["s-1"]) == []
            assert world.broker.tokens.issued == issued


async def test_a_token_of_a_short_life_is_renewed_when_half_of_it_is_over() -> None:
    """An hour early would be before it was had."""
    async with bench(token_seconds=1800) as world:
        leads = world.adapter().leads
        for minutes, issued in ((0, 1), (14, 1), (16, 2)):
            world.now = NOW + timedelta(minutes=minutes)
            assert await leads.by_ids(["s-1"]) == []
            assert world.broker.tokens.issued == issued


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    """The registration goes out once all the same."""
    async with bench() as world:
        leads = world.adapter().leads
        assert await leads.by_ids(["s-1"]) == []
        world.broker.tokens.expire()
        done = await leads.register(Signup("s-1", "ada@example.com", "Ada", "L"))
        assert isinstance(done, Registered)
        assert (world.broker.tokens.issued, len(world.broker.accounts)) == (2, 1)


async def test_a_static_key_asks_for_no_token() -> None:
    """It is sent as it is."""
    async with bench() as world:
        assert await world.adapter(KEY).leads.by_ids(["s-1"]) == []
        assert world.count("/token") == 0


@pytest.mark.parametrize("secrets", [{**LOGIN, "password": "wrong"}, {"token": "wrong"}])
async def test_wrong_credentials_are_refused_and_told(secrets: dict[str, str]) -> None:
    """A check says so without writing; every other call raises."""
    async with bench() as world:
        adapter = world.adapter(secrets)
        with pytest.raises(CredentialsRefusedError, match="401"):
            await adapter.leads.by_ids(["s-1"])
        found = await adapter.check()
        assert (found.valid, found.reachable) == (False, True)
        assert world.broker.calls.as_json()["writes"] == 0


async def test_good_credentials_pass_a_check() -> None:
    """With either kind."""
    async with bench() as world:
        for secrets in (LOGIN, KEY):
            found = await world.adapter(secrets).check()
            assert found.valid, found.message


async def test_a_broker_that_lets_in_known_addresses_alone_is_named_as_a_cause() -> None:
    """403 looks like wrong credentials."""
    crm = ScriptedCrm(lambda _: httpx.Response(403, text="Forbidden"))
    account = Account("org-1", "trading", "https://broker.test", KEY)
    with pytest.raises(CredentialsRefusedError, match="only the addresses that they know"):
        await trading.build(account, crm.tools()).leads.by_ids(["s-1"])


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (httpx.Response(500, text="down"), Retry, "down"),
        (httpx.Response(429, headers={"retry-after": "7"}), Postponed, "429"),
        (httpx.Response(200, text="<html>hello"), Retry, "<html>hello"),
        (httpx.Response(200, json={"Token": "two words"}), Retry, "no access token"),
        (httpx.Response(404, text="nothing here"), Retry, "nothing here"),
    ],
)
async def test_no_token_is_no_fault_of_the_credentials(
    answer: httpx.Response, kind: type, told: str
) -> None:
    """And what came in its place is told, but for what may be a token."""
    crm = ScriptedCrm(lambda _: answer)
    account = Account("org-1", "trading", "https://broker.test", LOGIN)
    trouble = await trading.build(account, crm.tools()).leads.by_ids(["s-1"])
    assert isinstance(trouble, kind)
    assert told in getattr(trouble, "message", "")
    assert "two words" not in getattr(trouble, "message", "")
    (request,) = crm.requests
    assert json.loads(request.content) == {"userName": "sandbox", "password": SECRET}


async def test_a_lost_token_is_nothing_unknown_about_a_lead() -> None:
    """Nothing of it was sent."""
    async with bench() as world:
        world.broker.faults.script(ScriptedFault(kind="drop", path="/token"))
        done = await world.adapter().leads.register(Signup("s-1", "ada@example.com", "A", "L"))
        assert isinstance(done, Retry)
        assert world.count("/accounts/registrationwithsso") == 0


async def test_a_broker_that_gives_no_answer_is_out_of_reach() -> None:
    """A check tells it from wrong credentials."""
    async with bench() as world:
        world.broker.faults.settings = FaultSettings(server_error_rate=1)
        found = await world.adapter(KEY).check()
        assert (found.valid, found.reachable) == (False, False)


async def test_no_secret_is_repeated() -> None:
    """A broker that sends one back is quoted without it."""
    crm = ScriptedCrm(lambda _: httpx.Response(400, text=f"what is {SECRET}?"))
    account = Account("org-1", "trading", "https://broker.test", KEY)
    trouble = await trading.build(account, crm.tools()).leads.by_ids(["s-1"])
    assert "what is [hidden]?" in getattr(trouble, "message", "")


@pytest.mark.parametrize(
    ("secrets", "told"),
    [
        ({}, "'username'"),
        ({"username": "u"}, "'password'"),
        ({"username": "u", "password": " "}, "'password'"),
        ({**LOGIN, **KEY}, "not both"),
        ({"token": "two words"}, "'token'"),
    ],
)
def test_credentials_of_which_a_part_is_missing_are_refused(
    secrets: dict[str, str], told: str
) -> None:
    """Naming what would be right."""
    crm = ScriptedCrm(lambda _: httpx.Response(200))
    account = Account("org-1", "trading", "https://broker.test", secrets)
    with pytest.raises(ValueError, match=told):
        trading.build(account, crm.tools())


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        ("https://broker.test?x=1", {}, "without a query"),
        ("https://broker.test", {"calls_per_second": "none"}, "calls_per_second"),
        ("https://broker.test", {"timeout_seconds": "0"}, "timeout_seconds"),
    ],
)
def test_options_that_are_wrong_are_refused(url: str, options: dict[str, str], told: str) -> None:
    """Naming them."""
    crm = ScriptedCrm(lambda _: httpx.Response(200))
    with pytest.raises(ValueError, match=told):
        trading.build(Account("org-1", "trading", url, KEY, options), crm.tools())


async def test_an_address_inside_is_not_called() -> None:
    """The same guard stands before it as before every tenant's URL."""
    async with bench() as world, httpx.AsyncClient(transport=GuardedTransport()) as guarded:
        url = world.sandbox.urls["trading"]
        tools = Tools(guarded, lambda: NOW, Rations(), Purse())
        adapter = trading.build(Account("org-1", "trading", url, KEY), tools)
        found = await adapter.check()
        assert (found.valid, found.reachable) == (False, False)
        assert "127.0.0.1 is not a public address" in found.message
        assert world.broker.calls.as_json()["total"] == 0
