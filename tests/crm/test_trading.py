"""Leads at the Trading CRM: registered once, and asked for by id, email and day."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.leads import LeadPage, LeadRecord, Registered, Signup, chosen
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Unknown
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from tests.crm.support import NOW, SECRET, delivery
from tests.crm.trading_bench import bench, scripted

ADA = Signup(
    "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "ada@example.com",
    "Ada",
    "Lovelace",
    phone="+491701234567",
    country="DE",
    language="de",
    ip_address="192.0.2.7",
    campaign_id="7",
    tag="spring",
)
_REGISTRATION = "/accounts/registrationwithsso"


async def test_a_signup_is_registered_with_all_that_is_known_of_it() -> None:
    """The person can be logged in at once."""
    async with bench() as world:
        done = await world.adapter().leads.register(ADA)
        assert done == Registered("1001", created=True, login_url=_url(1001))
        (held,) = world.broker.contacts()
        assert (held["affiliateTransactionId"], held["country"]) == (ADA.id, "DE")
        assert (held["firstName"], held["campaignId"], held["tag"]) == ("Ada", "7", "spring")


def _url(number: int) -> str:
    return f"https://trade.sandbox.example/sso?account={number}"


async def test_empty_values_are_not_sent_and_the_kind_of_body_is_the_brokers() -> None:
    """What the caller does not know is left out."""
    leads, crm = scripted(lambda _: httpx.Response(200, json={"accountId": 7, "url": ""}))
    assert await leads.register(Signup("s-1", "ada@example.com", "Ada", "L")) == Registered(
        "7", created=True
    )
    (request,) = crm.requests
    assert request.headers["content-type"] == "application/json-patch+json"
    assert request.headers["api-version"] == "4.0"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(request.content) == {
        "firstName": "Ada",
        "lastName": "L",
        "email": "ada@example.com",
        "affiliateTransactionId": "s-1",
    }


@pytest.mark.parametrize("kind", ["drop", "status"])
async def test_a_lost_answer_is_looked_for_and_makes_no_second_lead(kind: str) -> None:
    """What the CRM holds is told, also where a gateway answered in its place."""
    fault = {"kind": kind, "status": 502, "applied": True, "path": _REGISTRATION}
    async with bench() as world:
        world.broker.faults.script(ScriptedFault.model_validate(fault))
        assert await world.adapter().leads.register(ADA) == Registered("1001", created=True)
        assert len(world.broker.accounts) == 1


async def test_an_answer_that_stays_unknown_says_so_and_is_looked_up_before_a_repeat() -> None:
    """The lead comes to light in between: nothing is sent again."""
    async with bench() as world:
        leads = world.adapter().leads
        fault = ScriptedFault(kind="drop", path=_REGISTRATION)
        world.broker.faults.script(fault)
        assert isinstance(await leads.register(ADA), Unknown)
        world.broker.user.add(ADA.id, email=ADA.email)  # it came through after all
        again = await leads.register(ADA, perhaps_sent=True)
        assert again == Registered("1001", created=False)
        assert world.count(_REGISTRATION) == 1


async def test_what_was_never_applied_is_sent_again_after_a_look() -> None:
    """Once."""
    async with bench() as world:
        again = await world.adapter().leads.register(ADA, perhaps_sent=True)
        assert isinstance(again, Registered)
        assert again.created
        assert len(world.broker.accounts) == 1


async def test_nothing_is_sent_where_the_look_fails() -> None:
    """It might be the second time."""
    async with bench() as world:
        world.broker.faults.script(ScriptedFault(kind="status", status=500, path="/accounts"))
        assert isinstance(await world.adapter().leads.register(ADA, perhaps_sent=True), Retry)
        assert world.count(_REGISTRATION) == 0


async def test_a_success_that_is_no_json_is_a_failure_whose_words_are_kept() -> None:
    """Five hundred characters of them."""

    def respond(request: httpx.Request) -> httpx.Response:
        page = httpx.Response(200, text="<html>Gateway " + "x" * 2_000)
        return page if request.method == "POST" else httpx.Response(200, json=[])

    leads, crm = scripted(respond)
    lost = await leads.register(ADA)
    assert isinstance(lost, Unknown)
    assert "<html>Gateway xxx" in lost.message
    assert len(lost.message) == 500
    assert crm.paths == [_REGISTRATION, "/accounts"]


async def test_a_refusal_is_told_in_the_brokers_words() -> None:
    """They need not be JSON."""
    async with bench() as world:
        world.broker.faults.settings = FaultSettings(reject_share=1)
        refused = await world.adapter().leads.register(ADA)
        assert isinstance(refused, Rejected)
        assert refused.code == "HTTP_400"
        assert "The lead ada@example.com is not acceptable." in refused.message


async def test_one_id_is_asked_for_alone_and_many_together() -> None:
    """About a hundred to a call, in an address of less than 8 KB."""
    async with bench() as world:
        ids = [f"{number:08x}-e5f6-7890-abcd-ef1234567890" for number in range(10_000)]
        world.broker.user.seed(ids)
        leads = world.adapter().leads
        portions = leads.portions(ids)
        assert len(portions) == 100
        assert [one for portion in portions for one in portion] == ids
        found = await leads.by_ids(portions[0])
        assert isinstance(found, list)
        assert {one.transaction_id for one in found} == set(portions[0])
        (alone,) = await leads.by_ids(ids[:1])  # type: ignore[misc]  # it answers
        assert alone.transaction_id == ids[0]


def test_long_ids_go_fewer_to_a_call() -> None:
    """The address stays short."""
    leads, _ = scripted(lambda _: httpx.Response(200, json=[]))
    ids = [f"{number:~>64}" for number in range(100)]
    portions = leads.portions(ids)
    assert [one for portion in portions for one in portion] == ids
    assert 1 < len(portions) < 5
    assert not leads.portions([])


async def test_what_was_not_asked_for_is_not_told() -> None:
    """A broker that does not know a filter may show everything."""
    everything = [{"id": 1, "affiliateTransactionId": "else", "email": "else@example.com"}]
    leads, _ = scripted(lambda _: httpx.Response(200, json=everything))
    assert await leads.by_ids(["mine"]) == []
    assert await leads.by_email("mine@example.com") == []


async def test_emails_compare_without_regard_to_case() -> None:
    """As people write them."""
    async with bench() as world:
        world.broker.user.add("other-id", email="Ada@Example.com")
        found = await world.adapter().leads.by_email("ada@example.com")
        assert isinstance(found, list)
        assert [one.transaction_id for one in found] == ["other-id"]


@pytest.mark.parametrize("base", [0, 1])
async def test_recent_leads_are_read_to_the_short_page_and_none_is_missed(base: int) -> None:
    """Whether the broker counts from 0 or from 1."""
    async with bench(skip_base=base) as world:
        ids = {f"s-{number}" for number in range(1_203)}
        world.broker.user.seed(sorted(ids), NOW - timedelta(days=1))
        world.broker.user.seed(["too-old"], NOW - timedelta(days=9))
        leads, seen = world.adapter().leads, list[str]()
        page = await leads.recent(date(2026, 11, 19), {})
        while True:
            assert isinstance(page, LeadPage)
            seen += [one.transaction_id for one in page.records]
            if page.cursor is None:
                break
            page = await leads.recent(date(2026, 11, 19), page.cursor)
        assert set(seen) == ids
        assert world.count("/accounts") == 3


async def test_a_broker_that_ignores_paging_is_found_out() -> None:
    """Instead of being asked without end."""
    page = [{"id": number, "email": "a@example.com"} for number in range(500)]
    leads, _ = scripted(lambda _: httpx.Response(200, json=page))
    first = await leads.recent(date(2026, 11, 1), {})
    assert isinstance(first, LeadPage)
    assert first.cursor is not None
    again = await leads.recent(date(2026, 11, 1), first.cursor)
    assert again == Rejected(
        "PAGING_IGNORED", "the Trading CRM shows the same page again and again"
    )


async def test_a_lead_is_read_as_it_is_told() -> None:
    """The deposit reply of the document, and a status of which nobody knows the name."""
    async with bench() as world:
        await world.adapter().leads.register(ADA)
        world.broker.user.move(ADA.id, 9, tp_account="MT4-123456")
        (ada,) = await world.adapter().leads.by_ids([ADA.id])  # type: ignore[misc]  # it answers
        assert ada == LeadRecord(
            crm_lead_id="1001",
            transaction_id=ADA.id,
            email="ada@example.com",
            status_code=9,
            status_text="FTD",
            ftd_exists=True,
            tp_account="MT4-123456",
            currency="USD",
            create_time=NOW,
            modify_time=NOW,
        )
        world.broker.user.move(ADA.id, 17)
        (ada,) = await world.adapter().leads.by_ids([ADA.id])  # type: ignore[misc]  # it answers
        assert (ada.status_code, ada.status_text) == (17, "Status 17")


@pytest.mark.parametrize(
    ("told", "code", "ftd"),
    [
        ({"leadStatusCode": "9", "ftdExists": "true"}, 9, True),
        ({"leadStatusCode": None, "ftdExists": None}, 0, False),
        ({"leadStatusCode": 10**20, "ftdExists": 1}, 2**31 - 1, True),
        ({"leadStatusCode": 9.0, "ftdExists": False}, 9, False),
        ({"leadStatusCode": "9.0", "ftdExists": False}, 9, False),
        ({"leadStatusCode": "1e400", "ftdExists": False}, 2**31 - 1, False),
        ({"leadStatusCode": 9.5, "ftdExists": False}, 0, False),
        ({"leadStatusCode": "sNaN", "ftdExists": False}, 0, False),
        ({"leadStatusCode": [1], "ftdExists": {}}, 0, False),
        ({"leadStatusCode": -4, "ftdExists": "false"}, -4, False),
    ],
)
async def test_odd_values_are_read_without_trust(
    told: dict[str, object], code: int, *, ftd: bool
) -> None:
    """Nothing that a broker sends makes a question raise."""
    lead = {"id": 1, "affiliateTransactionId": "s-1", **told}
    odd = [lead, lead, "no object", None, {"affiliateTransactionId": "s-1"}]
    leads, _ = scripted(lambda _: httpx.Response(200, json=odd))
    (found,) = await leads.by_ids(["s-1"])  # type: ignore[misc]  # it answers
    assert (found.status_code, found.ftd_exists, found.modify_time) == (code, ftd, None)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, Postponed, "RATE_LIMIT"),
        (500, Retry, "CRM_FAULT"),
        (502, Retry, "CRM_FAULT"),
        (408, Retry, "CRM_FAULT"),
        (404, Rejected, "NO_API"),
        (302, Rejected, "NO_API"),
        (400, Rejected, "HTTP_400"),
        (200, Retry, "UNACCOUNTED"),
    ],
)
async def test_an_answer_without_leads_is_told_for_what_it_is(
    status: int, kind: type, code: str
) -> None:
    """With the words of whatever answered."""
    leads, _ = scripted(lambda _: httpx.Response(status, text="<h1>Odd</h1>"))
    for trouble in (await leads.by_ids(["s-1"]), await leads.recent(date(2026, 11, 1), {})):
        assert isinstance(trouble, kind)
        assert getattr(trouble, "code", "") == code
        assert "<h1>Odd</h1>" in getattr(trouble, "message", "")


async def test_a_429_waits_as_long_as_it_asks() -> None:
    """A minute where it does not say."""
    told = httpx.Response(429, headers={"retry-after": "30"})
    leads, _ = scripted(lambda _: told)
    trouble = await leads.by_ids(["s-1"])
    assert isinstance(trouble, Postponed)
    assert trouble.until == NOW + timedelta(seconds=30)


def test_of_several_leads_of_one_signup_one_counts() -> None:
    """That with a deposit, else the one that changed last, else the oldest."""
    plain = LeadRecord("7", "s", "a@example.com", 1, "New", ftd_exists=False)
    later = replace(plain, crm_lead_id="8", modify_time=datetime(2026, 1, 1, tzinfo=UTC))
    paid = replace(plain, crm_lead_id="9", ftd_exists=True)
    assert chosen([plain, later, paid]) is paid
    assert chosen([plain, later]) is later
    assert chosen([replace(plain, crm_lead_id="10"), plain]) is plain
    assert chosen([]) is None


async def test_contacts_are_rejected_with_what_to_do_instead() -> None:
    """Nothing is called for them, and the adapter says beforehand that it takes none."""
    async with bench() as world:
        adapter = world.adapter()
        assert not adapter.capabilities.takes_contacts
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Rejected)
        assert outcome.code == "NOT_SUPPORTED"
        assert "RegisterLead" in outcome.message
        assert await adapter.read_back([delivery(1)]) == [None]
        assert await adapter.settle("t", [delivery(1)]) == [outcome]
        assert world.broker.calls.as_json()["total"] == 0
