"""What HubSpot is asked after an unknown outcome, and which of its answers count."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.outcomes import Synced
from tests.crm.hubspot_script import READ, hubspot, refusal
from tests.crm.support import Rations, ScriptedCrm, deliveries, delivery
from tests.crm.support import inputs as inputs_of

HELD = {
    "email": "Person1@Example.com",
    "firstname": "First1",
    "lastname": "Last1",
    "phone": "+33199990001",
    "company": "Company 1",
    "hs_additional_emails": None,
}
LATELY = datetime(2026, 11, 21, 11, 59, 58, 500_000, tzinfo=UTC)


def record(record_id: str = "77", **changes: object) -> dict[str, object]:
    """Return a record as batch/read shows it."""
    return {"id": record_id, "properties": {**HELD, **changes}, "archived": False}


def holding(*records: Mapping[str, object]) -> ScriptedCrm:
    """Return a portal that answers every question with these records."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == PROPERTIES:
            return httpx.Response(200, json={"results": [{"name": "tier"}]})
        return httpx.Response(200, json={"status": "COMPLETE", "results": records})

    return ScriptedCrm(respond)


def known_by(record_id: str, found: Mapping[str, object]) -> ScriptedCrm:
    """Return a portal that has this record id no more, and this record for any address."""

    def respond(request: httpx.Request) -> httpx.Response:
        by_email = "idProperty" in json.loads(request.content)
        gone = {"category": "OBJECT_NOT_FOUND", "context": {"ids": [record_id]}}
        results = {"results": [found]} if by_email else {"results": [], "errors": [gone]}
        return httpx.Response(200 if by_email else 207, json=results)

    return ScriptedCrm(respond)


async def test_addresses_are_asked_for_a_hundred_at_a_time_with_what_was_sent() -> None:
    """Under the property that identifies them; what is not shown could not be compared."""
    crm = holding()
    batch = [replace(one, properties={"tier": "gold"}) for one in deliveries(100)]
    assert await hubspot(crm.tools()).read_back(batch) == [None] * 100
    assert crm.paths == [PROPERTIES, READ]
    asked = json.loads(crm.requests[-1].content)
    assert asked["idProperty"] == "email"
    assert len(inputs_of(crm.requests[-1])) == 100
    assert set(asked["properties"]) == {*HELD, "tier"}


async def test_a_record_that_holds_all_is_found_whatever_the_case_of_its_address() -> None:
    """HubSpot compares addresses in lower case."""
    adapter = hubspot(holding(record()).tools())
    assert await adapter.read_back(deliveries(2)) == [Synced("77"), None]


async def test_a_record_that_is_found_tells_when_it_changed() -> None:
    """By HubSpot's clock; a time that cannot be read is none."""
    for told, when in (("2026-11-21T11:59:58.5Z", LATELY), ("soon", None)):
        held = {**record(), "updatedAt": told}
        (found,) = await hubspot(holding(held).tools()).read_back([delivery(1)])
        assert found == Synced("77", modified_time=when)


async def test_a_further_address_of_a_record_counts() -> None:
    """The record was reached by it, and keeps its primary one."""
    merged = record(email="other@example.com", hs_additional_emails="x@y.com;person1@example.com")
    assert await hubspot(holding(merged).tools()).read_back([delivery(1)]) == [Synced("77")]


@pytest.mark.parametrize(
    "held",
    [
        record(firstname="Firs1"),
        record(company=None),
        record(email="other@example.com"),
        {**record(), "archived": True},
        {"id": "77"},
        {},
    ],
)
async def test_a_record_that_differs_or_cannot_be_read_is_not_found(
    held: Mapping[str, object],
) -> None:
    """A value that is not seen was not delivered."""
    assert await hubspot(holding(held).tools()).read_back([delivery(1)]) == [None]


async def test_a_value_that_was_to_be_cleared_must_be_gone() -> None:
    """HubSpot shows a cleared property as null, or not at all."""
    cleared = replace(delivery(1), company="", blank=frozenset({"company", "tier"}))
    for held, found in ((record(), None), (record(company=None), Synced("77"))):
        assert await hubspot(holding(held).tools()).read_back([cleared]) == [found]
    still = record(company=None, tier="gold")
    assert await hubspot(holding(still).tools()).read_back([cleared]) == [None]


async def test_a_known_record_is_asked_for_by_its_id() -> None:
    """And no second question is put."""
    crm = holding(record("77"))
    known = delivery(1, crm_contact_id="77")
    assert await hubspot(crm.tools()).read_back([known]) == [Synced("77")]
    assert [inputs_of(request) for request in crm.requests] == [[{"id": "77"}]]
    assert "idProperty" not in json.loads(crm.requests[0].content)


async def test_a_retired_record_is_asked_for_by_its_address() -> None:
    """After a merge the contact has another id, and push would have found it so."""
    crm = known_by("77", record("90"))
    known = delivery(1, crm_contact_id="77")
    assert await hubspot(crm.tools()).read_back([known]) == [Synced("90")]


async def test_what_was_left_out_is_noted_again() -> None:
    """The outcome says what a push would have said."""
    extra = replace(delivery(1), properties={"shoe": "39"})
    (found,) = await hubspot(holding(record()).tools()).read_back([extra])
    assert found == Synced("77", note="not sent, HubSpot has no place for it: shoe")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(302),
        httpx.Response(500),
        refusal(400, category="VALIDATION_ERROR"),
        refusal(401, message="expired"),
        refusal(403, category="MISSING_SCOPES"),
        refusal(423, message="locked"),
        refusal(429, policyName="TEN_SECONDLY_ROLLING"),
        refusal(477, message="migrating"),
    ],
)
async def test_an_answer_that_says_nothing_finds_nothing(answer: httpx.Response) -> None:
    """Nor does it raise: the next push meets the fault, and judges it."""
    adapter = hubspot(ScriptedCrm(lambda _: answer).tools())
    assert await adapter.read_back(deliveries(2)) == [None, None]


async def test_without_quota_nothing_is_asked() -> None:
    """Reading back draws on the same allowance."""
    crm = holding(record())
    assert await hubspot(crm.tools(Rations(0))).read_back([delivery(1)]) == [None]
    assert crm.requests == []


async def test_contacts_without_an_address_are_not_asked_for() -> None:
    """They were never sent."""
    crm = holding(record())
    assert await hubspot(crm.tools()).read_back([delivery(1, email=" ")]) == [None]
    assert crm.requests == []
