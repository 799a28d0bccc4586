"""Mautic asking to wait, failing, switched off, or not there at all."""

from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import Allowance, CredentialsRefusedError
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced, Unknown
from tests.crm.mautic_script import BATCH, answered, error, instance, kept, push, records
from tests.crm.support import NOW, SECRET, Rations, ScriptedCrm, deliveries, delivery

EPOCH = int(NOW.timestamp())
PAGE = "<html><body>Back soon</body></html>"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, timedelta(minutes=1)),
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"x-ratelimit-reset": str(EPOCH + 900)}, timedelta(minutes=15)),
        ({"x-ratelimit-reset": "120"}, timedelta(minutes=2)),
        ({"x-ratelimit-reset": str(EPOCH - 5)}, timedelta(seconds=1)),
        ({"x-ratelimit-reset": str(EPOCH * 9)}, timedelta(hours=24)),
        ({"x-ratelimit-reset": "soon"}, timedelta(minutes=1)),
        ({"x-ratelimit-reset": "9" * 15}, timedelta(minutes=1)),
        ({"x-ratelimit-limit": "9" * 5_000, "x-ratelimit-remaining": "1"}, timedelta(minutes=1)),
    ],
)
async def test_a_rate_limit_postpones_and_is_told_to_the_quota(
    headers: dict[str, str], wait: timedelta
) -> None:
    """Until the reset, which is an instant; a second at least, a day at most."""
    reply = error(429, "too many")
    reply.headers.update(headers)
    crm, quota = ScriptedCrm(lambda _: reply), Rations()
    (outcome,) = await instance(crm.tools(quota)).push([delivery(1)])
    assert outcome == Postponed(NOW + wait, "RATE_LIMIT", "too many")
    assert quota.refusals == [("hourly", NOW + wait)]


async def test_the_hours_allowance_is_told_to_the_quota() -> None:
    """By every reply that carries it."""
    headers = {
        "x-ratelimit-limit": "500",
        "x-ratelimit-remaining": "12",
        "x-ratelimit-reset": str(EPOCH + 60),
    }

    def respond(request: httpx.Request) -> httpx.Response:
        reply = kept(request)
        reply.headers.update(headers)
        return reply

    quota = Rations()
    await instance(ScriptedCrm(respond).tools(quota)).push([delivery(1)])
    assert quota.told == [Allowance("hourly", 500, 12, timedelta(minutes=1))]
    assert quota.taken == ["hourly"]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (error(403, "API disabled", type="api_disabled"), Postponed, "API_DISABLED"),
        (error(403, "Basic disabled", type="access_denied"), Postponed, "API_DISABLED"),
        (error(404), Postponed, "NO_API"),
        (httpx.Response(404, text=PAGE), Postponed, "NO_API"),
        (httpx.Response(301, headers={"location": "https://x/?q"}), Postponed, "NO_API"),
        (httpx.Response(403, text=PAGE), Retry, "CRM_FAULT"),
        (httpx.Response(200, text=PAGE), Retry, "UNACCOUNTED"),
        (httpx.Response(204), Retry, "UNACCOUNTED"),
        (httpx.Response(201, json=[1]), Retry, "UNACCOUNTED"),
        (error(503), Retry, "CRM_FAULT"),
        (error(500, "oops"), Retry, "CRM_FAULT"),
        (httpx.Response(400, text=PAGE), Retry, "CRM_FAULT"),
        (error(502), Unknown, ""),
        (httpx.Response(504, text=PAGE), Unknown, ""),
    ],
)
async def test_a_reply_that_is_no_answer_to_a_batch(
    reply: httpx.Response, kind: type[Outcome], code: str
) -> None:
    """What somebody must configure waits and burns no retry; the rest is tried again."""
    (outcome,) = await answered(reply, [delivery(1)])
    assert isinstance(outcome, kind)
    assert getattr(outcome, "code", "") == code


@pytest.mark.parametrize(
    "reply",
    [
        error(401, "wrong", type="access_denied"),
        httpx.Response(401, text=PAGE),
        error(403, "You do not have access"),
        httpx.Response(403, json={"error": {"message": "old", "code": 403}}),
    ],
)
async def test_refused_credentials_raise(reply: httpx.Response) -> None:
    """Those of a user who may not write contacts, too."""
    with pytest.raises(CredentialsRefusedError) as raised:
        await answered(reply, deliveries(2))
    assert SECRET not in str(raised.value)


async def test_a_batch_that_is_too_long_is_sent_in_parts_that_mautic_takes() -> None:
    """It says how many; from then on no batch is longer."""

    def respond(request: httpx.Request) -> httpx.Response:
        if len(records(request)) > 20:
            return error(500, "A max of 20 entities are supported at a time.")
        return kept(request)

    crm = ScriptedCrm(respond)
    adapter = instance(crm.tools(), batch_size="50")
    for _ in range(2):
        outcomes = await adapter.push(deliveries(50))
        assert {type(outcome) for outcome in outcomes} == {Synced}
    lengths = [len(records(request)) for request in crm.requests]
    assert lengths == [50, 20, 20, 10, 20, 20, 10]


async def test_a_batch_that_is_too_long_in_bytes_is_halved() -> None:
    """The web server says so, with a page of its own."""

    def respond(request: httpx.Request) -> httpx.Response:
        return kept(request) if len(records(request)) <= 3 else httpx.Response(413, text=PAGE)

    outcomes = await push(ScriptedCrm(respond), *deliveries(8))
    assert {type(outcome) for outcome in outcomes} == {Synced}


async def test_a_record_that_brings_mautic_down_does_not_take_the_others_along() -> None:
    """A 500 may be the fault of one; it alone is tried again."""

    def respond(request: httpx.Request) -> httpx.Response:
        poisoned = any(record["email"] == "person5@example.com" for record in records(request))
        return error(500, "oops") if poisoned else kept(request)

    outcomes = await push(ScriptedCrm(respond), *deliveries(16))
    assert [at for at, outcome in enumerate(outcomes, 1) if isinstance(outcome, Retry)] == [5]


async def test_a_mautic_that_answers_nothing_but_500_is_not_asked_for_long() -> None:
    """Not once for every record."""
    crm = ScriptedCrm(lambda _: error(500, "oops"))
    outcomes = await push(crm, *deliveries(50))
    assert {type(outcome) for outcome in outcomes} <= {Retry, Postponed}
    assert len(crm.requests) <= 12


async def test_a_time_out_leaves_the_batch_unknown() -> None:
    """Some of it may be applied: there is no transaction."""

    def respond(request: httpx.Request) -> httpx.Response:
        message = "late"
        raise httpx.ReadTimeout(message, request=request)

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, *deliveries(2))
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert crm.paths == [BATCH]


async def test_a_quota_used_up_postpones_unsent() -> None:
    """No call is made."""
    crm = ScriptedCrm(kept)
    until = NOW + timedelta(hours=1)
    (outcome,) = await instance(crm.tools(Rations(0, until))).push([delivery(1)])
    assert isinstance(outcome, Postponed)
    assert outcome.until == until
    assert crm.requests == []
