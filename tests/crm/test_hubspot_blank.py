"""Empty values at HubSpot: left out unless they are to clear, and never by a partial upsert."""

import json
from collections.abc import Mapping
from dataclasses import replace

import httpx
import pytest

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced
from tests.crm.hubspot_script import READ, UPDATE, UPSERT, accepted, hubspot, push, refusal
from tests.crm.support import ScriptedCrm, deliveries, delivery
from tests.crm.support import inputs as inputs_of

NAMED = Delivery(delivery(1).contact_id, 1, None, "person1@example.com", "First1", "Last1")


def knowing(**ids: str) -> ScriptedCrm:
    """Return a portal that has records for these people: `person1="77"`."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == PROPERTIES:
            return httpx.Response(200, json={"results": [{"name": "tier"}, {"name": "city"}]})
        if request.url.path != READ:
            return accepted(request)
        results = [
            {"id": record_id, "properties": {"email": f"{name}@example.com"}}
            for name, record_id in ids.items()
        ]
        return httpx.Response(207, json={"results": results})

    return ScriptedCrm(respond)


def sent(request: httpx.Request) -> Mapping[str, object]:
    """Return the properties of the only input of a batch."""
    (entry,) = inputs_of(request)
    assert isinstance(entry["properties"], dict)
    return entry["properties"]


async def test_a_contact_of_which_something_is_left_out_updates_the_record_with_its_address() -> (
    None
):
    """HubSpot does not say what a partial upsert does to the rest; an update surely keeps it."""
    crm = knowing(person1="77")
    assert await push(crm, NAMED) == [Synced("501")]
    assert crm.paths == [READ, UPDATE]
    (entry,) = inputs_of(crm.requests[-1])
    assert entry["id"] == "77"
    assert entry["properties"] == {"firstname": "First1", "lastname": "Last1"}


async def test_a_contact_that_hubspot_has_not_is_created_without_its_empty_values() -> None:
    """There is nothing that could be lost."""
    crm = knowing()
    assert await push(crm, NAMED) == [Synced("501")]
    assert crm.paths == [READ, UPSERT]
    assert sent(crm.requests[-1]) == {"firstname": "First1", "lastname": "Last1"}


async def test_only_contacts_that_need_it_are_looked_up_in_one_call() -> None:
    """A contact with every value costs no question."""
    crm = knowing(person2="78")
    partial = [replace(one, company="") for one in deliveries(100)[1:]]
    outcomes = await push(crm, delivery(1), *partial)
    assert all(isinstance(outcome, Synced) for outcome in outcomes)
    assert crm.paths == [READ, UPSERT, UPDATE]
    assert len(inputs_of(crm.requests[0])) == 99
    await push(complete := knowing(), *deliveries(100))
    assert complete.paths == [UPSERT]


async def test_a_careful_account_has_every_contact_looked_up() -> None:
    """Then not even a value that we do not own can be lost to an upsert."""
    crm = knowing(person1="77")
    await hubspot(crm.tools(), look_up="all").push([delivery(1)])
    assert crm.paths == [READ, UPDATE]
    with pytest.raises(ValueError, match="'look_up'"):
        hubspot(crm.tools(), look_up="some")


async def test_a_retired_record_is_looked_up_before_it_is_upserted() -> None:
    """The merged record has values that are not ours to lose."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == READ:
            found = {"id": "90", "properties": {"email": "person1@example.com"}}
            return httpx.Response(200, json={"results": [found]})
        (entry,) = inputs_of(request)
        if entry["id"] == "77":
            return refusal(404, category="OBJECT_NOT_FOUND", message="gone")
        return accepted(request)

    crm = ScriptedCrm(respond)
    assert await push(crm, replace(NAMED, crm_contact_id="77")) == [Synced("501")]
    assert crm.paths == [UPDATE, READ, UPDATE]


@pytest.mark.parametrize(
    ("status", "ends"), [(500, Retry), (504, Retry), (429, Postponed), (200, Retry)]
)
async def test_a_contact_that_could_not_be_looked_up_is_not_sent(
    status: int, ends: type[Outcome]
) -> None:
    """The others are, unless the whole account must wait."""
    answer = httpx.Response(status, json={})
    crm = ScriptedCrm(lambda r: answer if r.url.path == READ else accepted(r))
    partial, whole = await push(crm, NAMED, delivery(2))
    assert isinstance(partial, ends)
    assert isinstance(whole, Postponed if status == 429 else Synced)
    assert UPDATE not in crm.paths


async def test_an_address_that_cannot_be_looked_up_sinks_no_other() -> None:
    """It is written as it is, and HubSpot judges the contact itself."""

    def respond(request: httpx.Request) -> httpx.Response:
        bad = any(entry["id"] == "person2@example.com" for entry in inputs_of(request))
        if bad and request.url.path in {READ, UPSERT}:
            return refusal(400, category="VALIDATION_ERROR", message="Invalid input")
        if request.url.path != READ:
            return accepted(request)
        results = [
            {"id": "70" + str(entry["id"])[6], "properties": {"email": entry["id"]}}
            for entry in inputs_of(request)
        ]
        return httpx.Response(200, json={"results": results})

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, *(replace(one, company="") for one in deliveries(4)))
    assert [type(outcome) for outcome in outcomes] == [Synced, Rejected, Synced, Synced]
    (updated,) = [request for request in crm.requests if request.url.path == UPDATE]
    assert [entry["id"] for entry in inputs_of(updated)] == ["701", "703", "704"]


async def test_a_value_is_cleared_only_where_it_is_empty_and_named() -> None:
    """By our name or HubSpot's; all of it is sent, so nothing is looked up."""
    blank = frozenset({"company", "firstname", "last_name", "phone", "Tier"})
    named = replace(
        NAMED, first_name=" ", properties={"tier": "", "city": "Rome"}, blank=blank | {"city"}
    )
    crm = knowing()
    await push(crm, named)
    assert crm.paths == [PROPERTIES, UPSERT]
    assert sent(crm.requests[-1]) == {
        "firstname": "",
        "lastname": "Last1",
        "phone": "",
        "company": "",
        "tier": "",
        "city": "Rome",
    }


async def test_a_property_to_be_cleared_needs_no_value_and_must_exist() -> None:
    """One that the portal lacks is noted like any other."""
    crm = knowing()
    named = replace(delivery(1), blank=frozenset({"tier", "shoe", "email", "tags"}))
    (outcome,) = await push(crm, named)
    assert outcome == Synced("501", note="not sent, HubSpot has no place for it: shoe")
    assert sent(crm.requests[-1]).items() >= {("tier", "")}
    assert sent(crm.requests[-1]).keys().isdisjoint({"shoe", "email", "tags"})


async def test_an_empty_property_that_is_not_to_be_cleared_is_left_out() -> None:
    """And the contact is then looked up like any other that is not whole."""
    crm = knowing(person1="77")
    await push(crm, replace(delivery(1), properties={"tier": "", "city": "Rome"}))
    assert crm.paths == [PROPERTIES, READ, UPDATE]
    assert "tier" not in json.loads(crm.requests[-1].content)["inputs"][0]["properties"]
