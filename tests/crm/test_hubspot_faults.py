"""HubSpot asking to wait, failing, or refusing the token."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Retry,
    Synced,
    Unknown,
)
from tests.crm.hubspot_script import UPDATE, UPSERT, accepted, push, refusal
from tests.crm.support import NOW, SECRET, ScriptedCrm, deliveries, delivery


async def test_a_used_up_day_waits_for_midnight_in_the_portals_zone() -> None:
    """In November midnight in Paris is 23:00 UTC."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"portalId": 1, "timeZone": "Europe/Paris"})
        return refusal(429, policyName="DAILY", message="daily limit reached")

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, *deliveries(2))
    until = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    assert outcomes == [Postponed(until, "DAILY", "daily limit reached")] * 2


async def test_a_used_up_day_in_an_unknown_zone_waits_for_midnight_utc() -> None:
    """The details may be refused by the same limit."""
    crm = ScriptedCrm(lambda _: refusal(429, policyName="DAILY", message="no"))
    (outcome,) = await push(crm, delivery(1))
    assert outcome == Postponed(datetime(2026, 11, 22, tzinfo=UTC), "DAILY", "no")


@pytest.mark.parametrize(
    ("status", "headers", "wait", "lane"),
    [
        (429, {}, timedelta(seconds=10), True),
        (429, {"x-hubspot-ratelimit-interval-milliseconds": "4000"}, timedelta(seconds=4), True),
        (423, {}, timedelta(seconds=2), False),
        (423, {"retry-after": "1"}, timedelta(seconds=2), False),
        (477, {"retry-after": "7200"}, timedelta(hours=2), True),
        (477, {"retry-after": "999999"}, timedelta(hours=24), True),
        (477, {}, timedelta(hours=1), True),
    ],
)
async def test_a_request_to_wait_postpones(
    status: int,
    headers: dict[str, str],
    wait: timedelta,
    lane: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Each kind of wait has its own length, and its own reach."""
    body = {"message": "wait", "policyName": "TEN_SECONDLY_ROLLING"}
    crm = ScriptedCrm(lambda _: httpx.Response(status, json=body, headers=headers))
    (outcome,) = await push(crm, delivery(1))
    assert isinstance(outcome, Postponed)
    assert (outcome.until - NOW, outcome.lane) == (wait, lane)


async def test_a_lock_holds_only_the_records_of_its_call() -> None:
    """Another call of the same push is still made."""

    def respond(request: httpx.Request) -> httpx.Response:
        return refusal(423, message="locked") if request.url.path == UPDATE else accepted(request)

    batch = (delivery(1, crm_contact_id="7"), delivery(2))
    outcomes = await push(ScriptedCrm(respond), *batch)
    assert [type(outcome) for outcome in outcomes] == [Postponed, Synced]


async def test_faults_in_a_row_burn_no_retry_of_the_records_not_yet_sent() -> None:
    """They are postponed a little: nobody tried them."""
    crm = ScriptedCrm(lambda _: httpx.Response(503))
    batch = [delivery(number, email="same@example.com") for number in range(5)]
    outcomes = await push(crm, *batch)
    assert [type(outcome) for outcome in outcomes] == [Retry] * 3 + [Postponed] * 2
    assert len(crm.requests) == 3


async def test_a_single_fault_does_not_stop_the_push() -> None:
    """One lost connection says little about the next."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503) if request.url.path == UPDATE else accepted(request)

    batch = (delivery(1, crm_contact_id="7"), delivery(2))
    outcomes = await push(ScriptedCrm(respond), *batch)
    assert [type(outcome) for outcome in outcomes] == [Retry, Synced]


async def test_a_rate_limit_halfway_keeps_what_was_delivered() -> None:
    """The call before the limit counts; the calls after it are not made."""

    def respond(request: httpx.Request) -> httpx.Response:
        return accepted(request) if request.url.path == UPDATE else refusal(429, message="slow")

    crm = ScriptedCrm(respond)
    batch = (delivery(1, crm_contact_id="7"), delivery(2), delivery(3, email="person2@example.com"))
    outcomes = await push(crm, *batch)
    assert [type(outcome) for outcome in outcomes] == [Synced, Postponed, Postponed]
    assert crm.paths == [UPDATE, UPSERT]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Retry), (503, Retry), (521, Retry), (502, Unknown), (504, Unknown), (302, Retry)],
)
async def test_a_fault_of_the_crm_is_an_outcome(status: int, kind: type[Outcome]) -> None:
    """A gateway does not know what HubSpot did; HubSpot itself does."""
    crm = ScriptedCrm(lambda _: httpx.Response(status, text="<html>sorry</html>"))
    (outcome,) = await push(crm, delivery(1))
    assert isinstance(outcome, kind)


async def test_a_time_out_that_hubspot_reports_blames_no_record() -> None:
    """Although it is a 4xx with a body."""
    crm = ScriptedCrm(lambda _: refusal(408, category="", message="Request timed out"))
    outcomes = await push(crm, delivery(1), delivery(2))
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry]
    assert len(crm.requests) == 1


async def test_a_refused_token_raises_with_hubspots_words() -> None:
    """The engine pauses the lane; the token is in no text."""
    words = f"The token {SECRET} has expired"
    crm = ScriptedCrm(lambda _: refusal(401, category="INVALID_AUTHENTICATION", message=words))
    with pytest.raises(CredentialsRefusedError, match="has expired") as raised:
        await push(crm, delivery(1))
    assert SECRET not in str(raised.value)


async def test_a_missing_scope_is_named() -> None:
    """The operator reads which scope to grant."""
    context = {"requiredGranularScopes": ["crm.objects.contacts.write"]}
    error = {"message": "scopes are missing", "context": context}
    crm = ScriptedCrm(lambda _: refusal(403, category="MISSING_SCOPES", errors=[error]))
    with pytest.raises(CredentialsRefusedError, match=r"crm\.objects\.contacts\.write"):
        await push(crm, delivery(1))


async def test_a_refusal_after_a_delivery_does_not_lose_the_delivery() -> None:
    """What was delivered is told; the next push raises."""

    def respond(request: httpx.Request) -> httpx.Response:
        return accepted(request) if request.url.path == UPDATE else refusal(401, message="no")

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, delivery(1, crm_contact_id="7"), delivery(2))
    assert [type(outcome) for outcome in outcomes] == [Synced, Postponed]
