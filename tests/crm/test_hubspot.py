"""HubSpot's tricky replies, each as the vendor sends it."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery, Tools
from crmsync_server.crm.hubspot import HubSpot, build
from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from tests.crm.support import NOW, SECRET, Allowance, ScriptedCrm, account, deliveries, delivery
from tests.crm.support import inputs as inputs_of

UPSERT = "/crm/v3/objects/contacts/batch/upsert"
UPDATE = "/crm/v3/objects/contacts/batch/update"


def accepted(request: httpx.Request) -> httpx.Response:
    """Answer as HubSpot does when all is well, in another order than asked."""
    results = [
        {"id": f"{index + 501}", "objectWriteTraceId": entry["objectWriteTraceId"]}
        for index, entry in enumerate(inputs_of(request))
    ]
    return httpx.Response(200, json={"status": "COMPLETE", "results": results[::-1]})


def refusal(status: int, **body: object) -> httpx.Response:
    """Answer with one of HubSpot's error bodies."""
    return httpx.Response(status, json={"status": "error", "correlationId": "c-1", **body})


def hubspot(tools: Tools, **options: str) -> HubSpot:
    """Return the adapter of a portal."""
    return build(account("hubspot", **options), tools)


async def push(crm: ScriptedCrm, *batch: Delivery) -> list[Outcome]:
    """Push a batch to a scripted CRM."""
    return list(await hubspot(crm.tools()).push(batch))


def traces(request: httpx.Request) -> list[object]:
    """Return the trace ids of a batch request."""
    return [entry["objectWriteTraceId"] for entry in inputs_of(request)]


async def test_results_are_matched_by_trace_id_and_never_by_place() -> None:
    """Results in reverse order still reach their own deliveries."""
    outcomes = await push(ScriptedCrm(accepted), *deliveries(3))
    assert outcomes == [Synced("501"), Synced("502"), Synced("503")]


async def test_a_result_without_trace_id_is_matched_by_the_returned_email() -> None:
    """The address, compared in lower case, is the second surest means."""
    result = {"id": "9", "properties": {"email": "Person2@example.com"}}
    crm = ScriptedCrm(lambda _: httpx.Response(200, json={"results": [result]}))
    first, second = await push(crm, *deliveries(2))
    assert isinstance(first, Retry)
    assert second == Synced("9")


@pytest.mark.parametrize(
    "body",
    [b'{"status":"COMPLETE","results":[]}', b"{}", b"[]", b"null", b"", b"<html>ok</html>"],
)
async def test_an_unaccounted_record_is_never_a_success(body: bytes) -> None:
    """Whatever a 200 leaves out is tried again."""
    crm = ScriptedCrm(lambda _: httpx.Response(200, content=body))
    outcomes = await push(crm, *deliveries(2))
    assert [outcome.code for outcome in outcomes if isinstance(outcome, Retry)] == [
        "UNACCOUNTED",
        "UNACCOUNTED",
    ]


async def test_known_records_are_updated_by_id_and_others_upserted_by_email() -> None:
    """Updates carry the email as a property, so that a changed one arrives."""
    crm = ScriptedCrm(accepted)
    known = delivery(1, crm_contact_id="77", email=" New@Example.com ")
    await push(crm, known, delivery(2))
    update, upsert = crm.requests
    assert update.url.path == UPDATE
    (entry,) = inputs_of(update)
    assert entry["id"] == "77"
    assert "idProperty" not in entry
    assert entry["properties"] == {
        "email": "new@example.com",
        "firstname": "First1",
        "lastname": "Last1",
        "phone": "+33199990001",
        "company": "Company 1",
    }
    assert upsert.url.path == UPSERT
    (entry,) = inputs_of(upsert)
    assert (entry["id"], entry["idProperty"]) == ("person2@example.com", "email")


async def test_one_address_twice_goes_in_two_calls_in_order() -> None:
    """Never are there two inputs with one id in one call."""
    crm = ScriptedCrm(accepted)
    batch = (delivery(1), delivery(2, email="PERSON1@example.com"), delivery(3))
    outcomes = await push(crm, *batch)
    assert [len(inputs_of(request)) for request in crm.requests] == [2, 1]
    assert all(isinstance(outcome, Synced) for outcome in outcomes)


async def test_a_207_rejects_the_traced_input_alone() -> None:
    """The culprit gets HubSpot's words and its correlation id."""

    def respond(request: httpx.Request) -> httpx.Response:
        first, second = traces(request)
        error = {
            "category": "VALIDATION_ERROR",
            "message": "phone is not valid",
            "context": {"objectWriteTraceId": [first]},
        }
        result = {"id": "8", "objectWriteTraceId": second}
        return refusal(207, results=[result], numErrors=1, errors=[error])

    outcomes = await push(ScriptedCrm(respond), *deliveries(2))
    assert outcomes == [
        Rejected("VALIDATION_ERROR", "phone is not valid", "c-1"),
        Synced("8", "c-1"),
    ]


async def test_an_error_beats_a_result_for_the_same_input() -> None:
    """A record that HubSpot both lists and blames is not taken for delivered."""

    def respond(request: httpx.Request) -> httpx.Response:
        (trace,) = traces(request)
        error = {"category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": trace}}
        return refusal(207, results=[{"id": "8", "objectWriteTraceId": trace}], errors=[error])

    (outcome,) = await push(ScriptedCrm(respond), delivery(1))
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize("named", ["trace", "email", "nobody"])
async def test_a_refused_batch_costs_only_its_culprit(named: str) -> None:
    """All-or-nothing refusals sink nobody else, however they name the culprit."""

    def respond(request: httpx.Request) -> httpx.Response:
        culprit = next((e for e in inputs_of(request) if e["id"] == "person37@example.com"), None)
        if culprit is None:
            return accepted(request)
        trace = {"objectWriteTraceId": [culprit["objectWriteTraceId"]]}
        address = " Person37@example.com." if named == "email" else ""
        return refusal(
            400,
            category="VALIDATION_ERROR",
            message=f"Property values were not valid.{address}",
            context=trace if named == "trace" else {},
        )

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, *deliveries(100))
    assert [n for n, outcome in enumerate(outcomes, 1) if isinstance(outcome, Rejected)] == [37]
    assert sum(isinstance(outcome, Synced) for outcome in outcomes) == 99
    assert len(crm.requests) <= (16 if named == "nobody" else 2)


async def test_a_message_with_two_addresses_of_the_batch_blames_neither() -> None:
    """An ambiguous message leads to bisection, not to a good record's rejection."""

    def respond(request: httpx.Request) -> httpx.Response:
        if any(entry["id"] == "person1@example.com" for entry in inputs_of(request)):
            message = "person1@example.com is not as good as person2@example.com"
            return refusal(400, category="VALIDATION_ERROR", message=message)
        return accepted(request)

    outcomes = await push(ScriptedCrm(respond), *deliveries(3))
    assert [type(outcome) for outcome in outcomes] == [Rejected, Synced, Synced]


async def test_an_existing_contact_is_updated_by_the_id_the_conflict_names() -> None:
    """The record keeps its primary address: it holds ours as a second one."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == UPSERT:
            message = "Contact already exists. Existing ID: 4242"
            return refusal(409, category="CONFLICT", message=message)
        return accepted(request)

    crm = ScriptedCrm(respond)
    assert await push(crm, delivery(1)) == [Synced("501")]
    (entry,) = inputs_of(crm.requests[-1])
    assert entry["id"] == "4242"
    assert "email" not in json.dumps(entry["properties"])


async def test_a_conflict_on_a_known_record_is_rejected() -> None:
    """Our address belongs to another record: only a person can merge the two."""
    message = "Contact already exists. Existing ID: 4242"
    crm = ScriptedCrm(lambda _: refusal(409, category="CONFLICT", message=message))
    outcomes = await push(crm, delivery(1, crm_contact_id="77"))
    assert outcomes == [Rejected("CONFLICT", message, "c-1")]


@pytest.mark.parametrize("status", [404, 207])
async def test_a_retired_record_id_falls_back_to_the_email(status: int) -> None:
    """After a merge or a deletion the contact is delivered by its address."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == UPSERT:
            return accepted(request)
        gone = {"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["77"]}}
        return refusal(status, **(gone if status == 404 else {"errors": [gone]}))

    crm = ScriptedCrm(respond)
    assert await push(crm, delivery(1, crm_contact_id="77")) == [Synced("501")]
    assert crm.paths == [UPDATE, UPSERT]


async def test_contradicting_answers_end_after_two_turns() -> None:
    """Gone, then existing, then gone again is no endless loop."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == UPSERT:
            return refusal(409, category="CONFLICT", message="Existing ID: 77")
        return refusal(404, category="OBJECT_NOT_FOUND", message="gone")

    crm = ScriptedCrm(respond)
    (outcome,) = await push(crm, delivery(1, crm_contact_id="77"))
    assert isinstance(outcome, Retry)
    assert crm.paths == [UPDATE, UPSERT, UPDATE]


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


async def test_contacts_without_an_address_are_skipped_without_a_call() -> None:
    """Brevo's invented addresses are none."""
    crm = ScriptedCrm(accepted)
    batch = (delivery(1, email="  "), delivery(2, email="33600000000@mailin-sms.com"))
    assert await push(crm, *batch) == [Skipped(SkipReason.NO_EMAIL)] * 2
    assert crm.requests == []


async def test_an_exhausted_quota_postpones_without_a_call() -> None:
    """Quota is taken before every call."""
    crm = ScriptedCrm(accepted)
    until = NOW + timedelta(minutes=3)
    adapter = hubspot(crm.tools(Allowance(0, until)))
    (outcome,) = await adapter.push([delivery(1)])
    assert isinstance(outcome, Postponed)
    assert outcome.until == until
    assert crm.requests == []


async def test_custom_properties_never_replace_the_owned_ones() -> None:
    """An address or a record id cannot be smuggled in as a custom property."""
    crm = ScriptedCrm(accepted)
    properties = {"Email": "x@x.com", "hs_object_id": "1", "firstname": "No", "tier": "gold"}
    extra = Delivery(delivery(1).contact_id, 1, None, "a@x.com", "Ana", properties=properties)
    await push(crm, extra)
    (entry,) = inputs_of(crm.requests[0])
    assert entry["properties"] == {
        "tier": "gold",
        "firstname": "Ana",
        "lastname": "",
        "phone": "",
        "company": "",
    }


async def test_check_refuses_another_portal() -> None:
    """A token for the wrong portal would write to the wrong customers."""
    crm = ScriptedCrm(lambda _: httpx.Response(200, json={"portalId": 12}))
    standing = await hubspot(crm.tools(), portal_id="13").check()
    assert not standing.valid
    assert "12" in standing.message


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "é"])
def test_an_impossible_token_is_refused_at_once_and_not_repeated(token: str) -> None:
    """A header with such a value would fail, and its error would show the secret."""
    broken = account("hubspot")
    broken = type(broken)("o", "hubspot", broken.base_url, {"token": token})
    with pytest.raises(ValueError, match="token") as raised:
        build(broken, ScriptedCrm(accepted).tools())
    assert not token.strip() or token not in str(raised.value)
