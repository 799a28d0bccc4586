"""HubSpot's tricky replies, each as the vendor sends it."""

import json
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.hubspot import build
from crmsync_server.crm.outcomes import (
    Postponed,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
)
from tests.crm.hubspot_script import READ, UPDATE, UPSERT, accepted, hubspot, push, refusal, traces
from tests.crm.support import NOW, Rations, ScriptedCrm, account, deliveries, delivery
from tests.crm.support import inputs as inputs_of


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


@pytest.mark.parametrize("told", ["2026-11-21T13:00:00.250+01:00", "2026-11-21T12:00:00.250Z"])
async def test_a_result_tells_when_the_record_changed(told: str) -> None:
    """By HubSpot's clock: a later reading knows our own change by it."""
    result = {"id": "9", "properties": {"email": "person1@example.com"}, "updatedAt": told}
    crm = ScriptedCrm(lambda _: httpx.Response(200, json={"results": [result]}))
    (outcome,) = await push(crm, delivery(1))
    assert outcome == Synced("9", modified_time=NOW + timedelta(milliseconds=250))


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
        if request.url.path != UPDATE:
            return accepted(request)
        gone = {"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["77"]}}
        return refusal(status, **(gone if status == 404 else {"errors": [gone]}))

    crm = ScriptedCrm(respond)
    assert await push(crm, delivery(1, crm_contact_id="77")) == [Synced("501")]
    assert crm.paths == [UPDATE, READ, UPSERT]


async def test_two_addresses_of_one_record_go_in_two_calls() -> None:
    """Only HubSpot knows that they are one; neither delivery is at fault."""

    def respond(request: httpx.Request) -> httpx.Response:
        if len(inputs_of(request)) == 1:
            return accepted(request)
        first, second = traces(request)
        message = "Duplicate contact in batch input: person2@example.com"
        error = {"category": "VALIDATION_ERROR", "message": message}
        context = {"objectWriteTraceId": [second]}
        result = {"id": "8", "objectWriteTraceId": first}
        return refusal(207, results=[result], errors=[{**error, "context": context}])

    outcomes = await push(ScriptedCrm(respond), *deliveries(2))
    assert outcomes == [Synced("8", "c-1"), Synced("501")]


async def test_contradicting_answers_end_after_two_turns() -> None:
    """Gone, then existing, then gone again is no endless loop."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == UPSERT:
            return refusal(409, category="CONFLICT", message="Existing ID: 77")
        return refusal(404, category="OBJECT_NOT_FOUND", message="gone")

    crm = ScriptedCrm(respond)
    (outcome,) = await push(crm, delivery(1, crm_contact_id="77"))
    assert isinstance(outcome, Retry)
    assert crm.paths == [UPDATE, READ, UPSERT, UPDATE]


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
    adapter = hubspot(crm.tools(Rations(0, until)))
    (outcome,) = await adapter.push([delivery(1)])
    assert isinstance(outcome, Postponed)
    assert outcome.until == until
    assert crm.requests == []


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
