"""The simulated broker: tokens, queries, registrations, and the lives of its leads."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading import TradingSettings
from crmsync_server.sandbox.trading_lives import COURSES, STATUSES
from tests.sandbox.conftest import MovableClock

_ADA = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "email": "ada@example.com",
    "affiliateTransactionId": "signup-1",
}
_REGISTRATION = "/accounts/registrationwithsso"
_PATCH = {"content-type": "application/json-patch+json"}


@pytest.fixture
async def broker(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with the affiliate's static key."""
    key = sandbox.trading.settings.static_key
    headers = {"authorization": f"Bearer {key}", "api-version": "4.0"}
    url = sandbox.urls["trading"]
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as client:
        yield client


async def register(client: httpx.AsyncClient, **values: str) -> httpx.Response:
    """Register Ada, but for what is told otherwise."""
    return await client.post(_REGISTRATION, json={**_ADA, **values}, headers=_PATCH)


async def ask(client: httpx.AsyncClient, *query: tuple[str, str]) -> list[dict[str, Any]]:
    """Ask for leads."""
    reply = await client.get("/accounts", params=[*query])
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()
    return found


async def test_a_token_is_had_by_name_and_password_and_expires(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """It says how long it lives; another password is refused in plain text."""
    settings = sandbox.trading.settings
    async with httpx.AsyncClient(base_url=sandbox.urls["trading"]) as client:
        given = {"userName": settings.username, "password": settings.password}
        told = (await client.post("/token", json=given)).json()
        assert told == {"Token": "sandbox-trading-token-1", "ExpiresIn": 23 * 3600}
        bearer = {"authorization": f"Bearer {told['Token']}"}
        assert (await client.get("/accounts", headers=bearer)).json() == []
        clock.move(hours=23)
        refused = await client.get("/accounts", headers=bearer)
        assert (refused.status_code, refused.text) == (401, "Unauthorized")
        wrong = await client.post("/token", json={**given, "password": "wrong"})
        assert (wrong.status_code, wrong.text) == (401, "Invalid credentials")


async def test_a_broker_may_not_say_how_long_a_token_lives() -> None:
    """Then only the token is in the answer."""
    async with Sandbox(trading=TradingSettings(tells_expiry=False)) as sandbox:
        settings = sandbox.trading.settings
        given = {"userName": settings.username, "password": settings.password}
        async with httpx.AsyncClient() as client:
            told = await client.post(f"{sandbox.urls['trading']}/token", json=given)
        assert told.json() == {"Token": "sandbox-trading-token-1"}


async def test_registering_the_same_lead_twice_makes_two(
    broker: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """The call is not idempotent: whoever repeats it has to look first."""
    first, second = (await register(broker)).json(), (await register(broker)).json()
    assert first["accountId"] != second["accountId"]
    assert first["url"].startswith("https://")
    found = await ask(broker, ("WHERE[affiliateTransactionId]", "signup-1"))
    assert [one["id"] for one in found] == [first["accountId"], second["accountId"]]
    assert sandbox.trading.calls.as_json()["records_created"] == 2


async def test_a_lead_is_shown_with_all_its_fields(broker: httpx.AsyncClient) -> None:
    """A new one has no deposit and no account on the platform."""
    await register(broker, phone="+491701234567", isoCountry="DE", campaignId="7", tag="spring")
    (found,) = await ask(broker, ("WHERE[email]", "ADA@example.com"))
    assert found == {
        "id": 1001,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "phone": "+491701234567",
        "leadStatusCode": 1,
        "leadStatus": "New",
        "ftdExists": False,
        "tpAccount": None,
        "currency": "USD",
        "createdOn": "2026-03-02T12:00:00.000Z",
        "modifiedOn": "2026-03-02T12:00:00.000Z",
        "country": "DE",
        "affiliateTransactionId": "signup-1",
        "affiliate": "sandbox",
        "campaignId": "7",
        "tag": "spring",
    }


async def test_many_ids_are_asked_for_in_one_call(
    broker: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Those that it does not know are left out."""
    sandbox.trading.user.seed(f"signup-{number}" for number in range(5))
    many = [("WHERE[affiliateTransactionId][]", f"signup-{number}") for number in (1, 3, 9)]
    found = await ask(broker, *many, ("LIMIT[Take]", "500"))
    assert {one["affiliateTransactionId"] for one in found} == {"signup-1", "signup-3"}


@pytest.mark.parametrize("base", [0, 1])
async def test_pages_of_recent_leads_come_newest_first(clock: MovableClock, base: int) -> None:
    """From the beginning of a day on; the count of what is skipped begins with 0 or with 1."""
    async with Sandbox(trading=TradingSettings(skip_base=base), clock=clock) as sandbox:
        user = sandbox.trading.user
        user.seed((f"old-{n}" for n in range(3)), datetime(2026, 2, 27, 23, 59, tzinfo=UTC))
        user.seed((f"new-{n}" for n in range(3)), datetime(2026, 2, 28, 0, 0, tzinfo=UTC))
        headers = {"authorization": f"Bearer {sandbox.trading.settings.static_key}"}
        url = sandbox.urls["trading"]
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            day = ("WHERE[createdOn][min]", "2026-02-28")
            order = ("ORDER[sortOrder]", "DESC")
            page = await ask(client, day, ("LIMIT[Skip]", "0"), ("LIMIT[Take]", "2"), order)
            assert [one["affiliateTransactionId"] for one in page] == ["new-2", "new-1"]
            rest = await ask(client, day, ("LIMIT[Skip]", "2"), ("LIMIT[Take]", "2"), order)
            names = [one["affiliateTransactionId"] for one in rest]
            assert names == (["new-0"] if base == 0 else ["new-1", "new-0"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"WHERE[shoeSize]": "44"}, 400, "Unknown filter WHERE[shoeSize]"),
        ({"LIMIT[Take]": "many"}, 400, "Not a number: many"),
        ({"WHERE[createdOn][min]": "yesterday"}, 400, "Not a date: yesterday"),
        ({"WHERE[email]": "x" * 9_000}, 414, "URI Too Long"),
    ],
)
async def test_what_it_does_not_take_is_refused_in_plain_text(
    broker: httpx.AsyncClient, query: dict[str, str], status: int, words: str
) -> None:
    """Errors of this API need not be JSON."""
    reply = await broker.get("/accounts", params=query)
    assert (reply.status_code, reply.text) == (status, words)


async def test_a_signup_needs_names_an_email_and_the_right_kind_of_body(
    broker: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Nothing is kept of one that is refused."""
    lacking = await register(broker, lastName="")
    assert (lacking.status_code, lacking.text) == (400, "The lastName field is required.")
    plain = await broker.post(_REGISTRATION, json=_ADA)
    assert plain.status_code == 415
    sandbox.trading.faults.settings = FaultSettings(reject_share=1)
    assert (await register(broker)).status_code == 400
    assert not list(sandbox.trading.contacts())


async def test_a_scripted_fault_is_no_json(broker: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """As it has been seen."""
    fault = ScriptedFault(kind="status", status=502, path="/accounts")
    sandbox.trading.faults.script(fault)
    reply = await broker.get("/accounts")
    assert (reply.status_code, reply.text) == (502, "<html><body><h1>502</h1></body></html>")


async def test_leads_live_as_the_time_passes(
    broker: httpx.AsyncClient, sandbox: Sandbox, clock: MovableClock
) -> None:
    """Each goes its own way, none back; a deposit brings a trading account and stays."""
    sandbox.trading.user.seed(f"signup-{number}" for number in range(200))
    seen: dict[str, list[int]] = {}
    for _ in range(40):
        for one in await ask(broker, ("LIMIT[Take]", "500")):
            seen.setdefault(one["affiliateTransactionId"], []).append(one["leadStatusCode"])
            assert one["leadStatus"] == STATUSES[one["leadStatusCode"]]
        clock.move(days=1)
    courses = {tuple(dict.fromkeys(codes)) for codes in seen.values()}
    assert len(courses) == len(COURSES)
    ends = await ask(broker, ("LIMIT[Take]", "500"))
    converted = [one for one in ends if one["ftdExists"]]
    assert 0 < len(converted) < 200
    assert all(one["tpAccount"].startswith("MT4-") for one in converted)
    assert all(one["modifiedOn"] > one["createdOn"] for one in ends)


async def test_what_a_person_moved_stays_there(
    broker: httpx.AsyncClient, sandbox: Sandbox, clock: MovableClock
) -> None:
    """Also at a status that has no name."""
    await register(broker)
    user = sandbox.trading.user
    user.move("signup-1", 9, tp_account="MT4-123456")
    clock.move(days=60)
    (found,) = await ask(broker, ("WHERE[affiliateTransactionId]", "signup-1"))
    assert (found["leadStatusCode"], found["ftdExists"]) == (9, True)
    assert found["tpAccount"] == "MT4-123456"
    user.move("signup-1", 17)
    (found,) = await ask(broker, ("WHERE[affiliateTransactionId]", "signup-1"))
    assert (found["leadStatus"], found["ftdExists"]) == ("Status 17", True)
    user.take_back("signup-1")
    (found,) = await ask(broker, ("WHERE[affiliateTransactionId]", "signup-1"))
    assert not found["ftdExists"]
    with pytest.raises(KeyError):
        user.move("nobody", 2)


async def test_a_limit_lets_so_many_calls_in_a_second(clock: MovableClock) -> None:
    """The next one is refused with the seconds to wait."""
    async with Sandbox(trading=TradingSettings(calls_per_second=2), clock=clock) as sandbox:
        headers = {"authorization": f"Bearer {sandbox.trading.settings.static_key}"}
        url = sandbox.urls["trading"]
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            statuses = [(await client.get("/accounts")).status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
            clock.move(seconds=1)
            assert (await client.get("/accounts")).status_code == 200
