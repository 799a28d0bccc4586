"""HubSpot's batches: all or nothing, or with trace ids one answer for each input."""

from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox

BATCH = "/crm/v3/objects/contacts/batch"
CONTACTS = "/crm/v3/objects/contacts"


def upsert(email: str, /, *, trace: bool = False, **properties: str) -> dict[str, Any]:
    """Return an input of an upsert by email; its trace id is made of the email."""
    item = {"id": email, "idProperty": "email", "properties": properties}
    return item | ({"objectWriteTraceId": f"trace-{email}"} if trace else {})


async def send(hubspot: httpx.AsyncClient, verb: str, *inputs: dict[str, Any]) -> httpx.Response:
    """Post a batch."""
    return await hubspot.post(f"{BATCH}/{verb}", json={"inputs": list(inputs)})


async def held(hubspot: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return what the portal holds, by email."""
    contacts = (await hubspot.get("/_sandbox/contacts")).json()
    return {contact["email"]: contact for contact in contacts}


async def test_an_upsert_says_which_contacts_are_new(hubspot: httpx.AsyncClient) -> None:
    """`new` tells a creation from an update, and the counts agree."""
    await send(hubspot, "upsert", upsert("old@x.com", firstname="Ada"))
    answer = await send(hubspot, "upsert", upsert("OLD@x.com", city="York"), upsert("new@x.com"))
    assert answer.status_code == 200
    new = {result["properties"]["email"]: result["new"] for result in answer.json()["results"]}
    assert new == {"old@x.com": False, "new@x.com": True}
    contacts = await held(hubspot)
    assert contacts["old@x.com"]["properties"]["firstname"] == "Ada"
    assert [contacts["old@x.com"][key] for key in ("times_created", "times_updated")] == [1, 1]
    assert [contacts["new@x.com"][key] for key in ("times_created", "times_updated")] == [1, 0]


async def test_results_do_not_come_in_the_order_of_inputs(hubspot: httpx.AsyncClient) -> None:
    """Whoever pairs them by position is found out."""
    emails = [f"p{number}@x.com" for number in range(3)]
    answer = await send(hubspot, "upsert", *(upsert(email, trace=True) for email in emails))
    traces = [result["objectWriteTraceId"] for result in answer.json()["results"]]
    assert sorted(traces) == [f"trace-{email}" for email in emails]
    assert traces != sorted(traces)


async def test_one_bad_input_without_trace_ids_fails_the_whole_batch(
    hubspot: httpx.AsyncClient,
) -> None:
    """The error is that of the first culprit alone, and nothing is applied."""
    answer = await send(
        hubspot,
        "upsert",
        upsert("good@x.com"),
        upsert("first@x.com", nonsense="1"),
        upsert("not an email"),
    )
    assert answer.status_code == 400
    assert answer.json()["context"] == {"id": ["first@x.com"]}
    assert await held(hubspot) == {}


async def test_one_missing_trace_id_makes_a_batch_all_or_nothing(
    hubspot: httpx.AsyncClient,
) -> None:
    """Multi-status is for batches whose every input can be named."""
    answer = await send(
        hubspot, "upsert", upsert("good@x.com", trace=True), upsert("bad", trace=False)
    )
    assert answer.status_code == 400
    assert await held(hubspot) == {}


async def test_trace_ids_turn_a_failure_into_a_207_naming_the_culprits(
    hubspot: httpx.AsyncClient,
) -> None:
    """The good inputs are applied."""
    answer = await send(
        hubspot, "upsert", upsert("good@x.com", trace=True), upsert("bad", trace=True)
    )
    assert answer.status_code == 207
    body = answer.json()
    assert [result["objectWriteTraceId"] for result in body["results"]] == ["trace-good@x.com"]
    assert body["numErrors"] == 1
    assert body["errors"][0]["category"] == "VALIDATION_ERROR"
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["trace-bad"]
    assert list(await held(hubspot)) == ["good@x.com"]


async def test_unnamed_culprits_leave_no_trace_of_who_failed(
    sandbox: Sandbox, hubspot: httpx.AsyncClient
) -> None:
    """With the dial on, only taking the batch apart finds the bad input."""
    sandbox.hubspot.faults.settings = FaultSettings(unnamed_culprits=True)
    answer = await send(
        hubspot, "upsert", upsert("good@x.com", trace=True), upsert("bad", trace=True)
    )
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert "bad" not in answer.text.replace("inputs", "")
    assert await held(hubspot) == {}


@pytest.mark.parametrize("verb", ["create", "upsert"])
async def test_a_conflict_inside_a_batch_names_the_contact_that_exists(
    hubspot: httpx.AsyncClient, verb: str
) -> None:
    """A creation, or a change of email, can run into another contact."""
    first = (await send(hubspot, "upsert", upsert("taken@x.com"))).json()["results"][0]["id"]
    item = upsert("other@x.com", trace=True, email="taken@x.com")
    if verb == "create":
        item = {"properties": item["properties"], "objectWriteTraceId": "trace"}
    answer = await send(hubspot, verb, item)
    assert answer.status_code == 207
    error = answer.json()["errors"][0]
    assert error["category"] == "CONFLICT"
    assert error["message"] == f"Contact already exists. Existing ID: {first}"


async def test_the_same_id_twice_fails_the_batch_even_with_trace_ids(
    hubspot: httpx.AsyncClient,
) -> None:
    """Addresses that differ by case are the same id."""
    answer = await send(
        hubspot, "upsert", upsert("a@x.com", trace=True), upsert("A@x.com", trace=True)
    )
    assert answer.status_code == 400
    assert await held(hubspot) == {}


async def test_two_addresses_of_one_contact_do_not_go_in_one_batch(
    hubspot: httpx.AsyncClient,
) -> None:
    """The second input that means the same contact fails by itself."""
    await send(hubspot, "upsert", upsert("a@x.com", hs_additional_emails="b@x.com"))
    answer = await send(
        hubspot, "upsert", upsert("a@x.com", trace=True), upsert("b@x.com", trace=True)
    )
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["objectWriteTraceId"] == ["trace-b@x.com"]


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_takes_one_to_a_hundred_inputs(
    hubspot: httpx.AsyncClient, count: int
) -> None:
    """Outside that nothing is read."""
    inputs = [upsert(f"p{number}@x.com", trace=True) for number in range(count)]
    assert (await send(hubspot, "upsert", *inputs)).status_code == 400


async def test_an_update_of_a_retired_id_is_a_404(hubspot: httpx.AsyncClient) -> None:
    """After a merge the stored id leads nowhere."""
    answer = await send(hubspot, "upsert", upsert("a@x.com"), upsert("b@x.com"))
    first, second = (result["id"] for result in answer.json()["results"])
    await hubspot.post("/_sandbox/merge", json={"primary": first, "secondary": second})
    answer = await send(hubspot, "update", {"id": first, "properties": {"city": "York"}})
    assert answer.status_code == 404
    assert answer.json()["category"] == "OBJECT_NOT_FOUND"


async def test_an_update_takes_record_ids_and_no_emails(hubspot: httpx.AsyncClient) -> None:
    """HubSpot refuses idProperty=email here, though its upsert takes it."""
    answer = await send(hubspot, "upsert", upsert("a@x.com"))
    item = {"id": answer.json()["results"][0]["id"], "properties": {"city": "York"}}
    assert (await send(hubspot, "update", item)).status_code == 200
    assert (await send(hubspot, "update", upsert("a@x.com", city="Hull"))).status_code == 400
    assert (await held(hubspot))["a@x.com"]["properties"]["city"] == "York"


async def test_a_batch_read_answers_for_what_exists_and_lists_what_does_not(
    hubspot: httpx.AsyncClient,
) -> None:
    """A missing contact makes it a 207."""
    await send(hubspot, "upsert", upsert("a@x.com", city="York"))
    body = {
        "idProperty": "email",
        "properties": ["city"],
        "inputs": [{"id": "A@x.com"}, {"id": "missing@x.com"}],
    }
    answer = await hubspot.post(f"{BATCH}/read", json=body)
    assert answer.status_code == 207
    assert answer.json()["results"][0]["properties"]["city"] == "York"
    assert answer.json()["errors"][0]["context"] == {"ids": ["missing@x.com"]}


async def test_an_upsert_may_be_set_to_erase_what_it_omits() -> None:
    """HubSpot promises no partial upsert by email; the worst reading can be tried."""
    settings = HubSpotSettings(upsert_clears_omitted=True)
    async with (
        Sandbox(hubspot=settings, brevo=BrevoSettings()) as sandbox,
        httpx.AsyncClient(
            base_url=sandbox.urls["hubspot"],
            headers={"Authorization": f"Bearer {settings.token}"},
        ) as hubspot,
    ):
        await send(hubspot, "upsert", upsert("a@x.com", firstname="Ada", city="York"))
        await send(hubspot, "upsert", upsert("a@x.com", city="Hull"))
        assert (await held(hubspot))["a@x.com"]["properties"] == {
            "email": "a@x.com",
            "city": "Hull",
        }


async def test_rejected_records_are_the_same_every_time(
    sandbox: Sandbox, hubspot: httpx.AsyncClient
) -> None:
    """Sending them again does not help, and the others go through."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=0.2, seed=1)
    inputs = [upsert(f"p{number}@x.com", trace=True) for number in range(100)]
    answers = [await send(hubspot, "upsert", *inputs) for _ in range(2)]
    first, second = (
        {error["context"]["objectWriteTraceId"][0] for error in answer.json()["errors"]}
        for answer in answers
    )
    assert first == second
    assert 5 < len(first) < 40
    assert len(await held(hubspot)) == 100 - len(first)
