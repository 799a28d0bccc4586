"""n8n's replies to deliveries, each as n8n or a proxy before it sends it."""

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest

from crmsync_server.crm.adapter import (
    Account,
    Adapter,
    CredentialsRefusedError,
    Delivery,
    Tools,
)
from crmsync_server.crm.n8n import build
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced, Unknown
from tests.crm.support import NOW, SECRET, Purse, Rations, ScriptedCrm, deliveries, delivery

URL = "https://n8n.test/webhook/contacts"
STARTED = {"message": "Workflow was started"}
SECRETS = {"header_name": "x-api-key", "header_value": SECRET, "signing_secret": "signing"}
Respond = Callable[[httpx.Request], httpx.Response]


def always(status: int, **content: Any) -> ScriptedCrm:  # noqa: ANN401 - as httpx.Response takes it
    """Return an n8n with one answer."""
    return ScriptedCrm(lambda _: httpx.Response(status, **content))


def adapter(crm: ScriptedCrm, **options: str) -> Adapter:
    """Return the adapter of a webhook."""
    account = Account("org-1", "n8n", URL, SECRETS, {"auth": "header", **options})
    return build(account, crm.tools())


async def push(crm: ScriptedCrm, *batch: Delivery, **options: str) -> list[Outcome]:
    """Push a batch to a scripted n8n."""
    return list(await adapter(crm, **options).push(batch or [delivery(1)]))


def content(request: httpx.Request) -> list[dict[str, Any]]:
    """Return the contacts of a request."""
    found: list[dict[str, Any]] = json.loads(request.content)["contacts"]
    return found


def results(*entries: dict[str, object]) -> ScriptedCrm:
    """Return an n8n whose workflow answers these results."""
    return always(200, json={"results": list(entries)})


DELIVERY_ID = f"{delivery(1).contact_id}:1"


async def test_a_body_is_the_documented_contract() -> None:
    """Absent says nothing, null clears; ids and keys stand beside the contact."""
    crm = always(200, json=STARTED)
    one = replace(
        delivery(1),
        company="",
        last_name="",
        tags=("vip", "paris"),
        properties={"plan": "gold", "empty": ""},
        blank=frozenset({"company", "seats"}),
    )
    assert await push(crm, one) == [Synced(DELIVERY_ID)]
    (request,) = crm.requests
    key = request.headers["idempotency-key"]
    assert json.loads(request.content) == {
        "version": 1,
        "contacts": [
            {
                "delivery_id": DELIVERY_ID,
                "idempotency_key": key,
                "contact_id": str(one.contact_id),
                "email": "person1@example.com",
                "first_name": "First1",
                "phone": "+33199990001",
                "company": None,
                "tags": ["vip", "paris"],
                "properties": {"seats": None, "plan": "gold"},
            }
        ],
    }
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert request.headers["content-type"] == "application/json"


async def test_a_body_is_signed_with_its_timestamp() -> None:
    """Over the very bytes that are sent."""
    crm = always(200, json=STARTED)
    await push(crm, replace(delivery(1), first_name="Zoë 👩‍🚀 <&>\u2028"))
    (request,) = crm.requests
    timestamp = str(int(NOW.timestamp()))
    signed = timestamp.encode() + b"." + request.content
    assert request.headers["x-crmsync-timestamp"] == timestamp
    expected = hmac.new(b"signing", signed, sha256).hexdigest()
    assert request.headers["x-crmsync-signature"] == expected


async def test_without_a_signing_secret_nothing_is_signed() -> None:
    """The headers are absent, not empty."""
    crm = always(200, json=STARTED)
    await build(Account("org-1", "n8n", URL), crm.tools()).push([delivery(1)])
    assert not [name for name in crm.requests[0].headers if name.startswith("x-crmsync")]


async def test_the_user_agent_is_no_bots() -> None:
    """A node that ignores bots takes a bare name and version for one."""
    crm = always(200, json=STARTED)
    await push(crm)
    agent = crm.requests[0].headers["user-agent"]
    bare = r"^[\w .():%-]+(/v?\d+(\.\d+)*)?$|^mozilla/\d\.\d\s\(compatible;?(\s\w+/\d+\.\d+)?\)$"
    assert not re.search(bare, agent, re.IGNORECASE)
    assert not re.search("http|bot|python", agent, re.IGNORECASE)


async def test_a_key_lasts_for_the_same_content_and_no_longer() -> None:
    """It outlives attempts; a change, or a delivery in between, makes a new one."""
    crm = always(200, json=STARTED)
    first = delivery(1)
    again = replace(first, attempt=2)
    changed = replace(first, attempt=3, first_name="Ann")
    changed_back = replace(first, attempt=4, crm_contact_id=f"{first.contact_id}:3")
    for one in (first, again, changed, changed_back, delivery(2)):
        await push(crm, one)
    keys = [request.headers["idempotency-key"] for request in crm.requests]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


async def test_each_contact_has_a_call_of_its_own_by_default() -> None:
    """One n8n execution for each."""
    crm = always(200, json=STARTED)
    outcomes = await push(crm, *deliveries(20))
    assert {type(outcome) for outcome in outcomes} == {Synced}
    assert [len(content(request)) for request in crm.requests] == [1] * 20


async def test_a_batch_is_one_call() -> None:
    """With a key of its own, made of its records' keys."""
    crm = always(200, json=STARTED)
    outcomes = await push(crm, *deliveries(25), batch_size="10")
    assert len(outcomes) == 25
    assert sorted(len(content(request)) for request in crm.requests) == [5, 10, 10]
    keys = {request.headers["idempotency-key"] for request in crm.requests}
    assert len(keys) == 3
    assert not keys & {one["idempotency_key"] for call in crm.requests for one in content(call)}


@pytest.mark.parametrize(
    "body",
    [
        {"text": "n8n is starting up. Please wait"},
        {"text": ""},
        {"text": "<html>ok</html>"},
        {"json": {}},
        {"json": []},
        {"json": None},
        {"json": {"message": "Workflow executed successfully but no data was returned"}},
    ],
)
@pytest.mark.parametrize("response", ["started", "results"])
async def test_a_200_that_does_not_say_so_is_no_success(
    body: dict[str, Any], response: str
) -> None:
    """It is tried again."""
    (outcome,) = await push(always(200, **body), response=response)
    assert isinstance(outcome, Retry)


async def test_a_workflow_may_speak_of_starting_up() -> None:
    """Its own words in its own result are no page of n8n's."""
    words = "n8n is starting up a lead"
    crm = results({"delivery_id": DELIVERY_ID, "status": "synced", "message": words})
    (outcome,) = await push(crm, response="results")
    assert isinstance(outcome, Synced)


async def test_n8n_that_starts_up_has_started_nothing() -> None:
    """So that it is tried again even where a receiver cannot tell repetitions."""
    crm = always(200, text="n8n is starting up. Please wait")
    (outcome,) = await push(crm, receiver_deduplicates="false")
    assert outcome == Retry("STARTING_UP", "n8n is starting up. Please wait")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"json": {"hello": "there"}}, "UNACCOUNTED"),
        (500, {"json": {"message": "Error in workflow"}}, "WORKFLOW_FAILED"),
        (500, {"text": "oops"}, "CRM_FAULT"),
        (502, {"text": "bad gateway"}, "CRM_FAULT"),
        (504, {"text": "gateway time-out"}, "CRM_FAULT"),
    ],
)
async def test_what_may_have_run_is_only_repeated_to_a_receiver_that_can_tell(
    status: int, body: dict[str, Any], code: str
) -> None:
    """To any other it is unknown, and ends so."""
    (outcome,) = await push(always(status, **body))
    assert isinstance(outcome, Retry)
    assert outcome.code == code
    (outcome,) = await push(always(status, **body), receiver_deduplicates="false")
    assert isinstance(outcome, Unknown)


async def test_a_503_has_run_nothing() -> None:
    """The database is not ready, or a proxy has nobody to ask."""
    crm = always(503, json={"code": 503, "message": "Database is not ready!"})
    (outcome,) = await push(crm, receiver_deduplicates="false")
    message = "n8n answered 503: Database is not ready!"
    assert outcome == Retry("CRM_FAULT", message)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"text": "Authorization is required!"}, "refuses the credentials .*is required!"),
        (403, {"text": "Authorization data is wrong!"}, "data is wrong!.*allowed addresses"),
        (
            500,
            {"json": {"code": 0, "message": "No authentication data defined on node!"}},
            "asks for authentication and has no credential",
        ),
        (308, {"headers": {"location": "https://evil.test"}}, r"redirect \(308\)"),
    ],
)
async def test_a_connection_at_fault_pauses_the_lane(
    status: int, body: dict[str, Any], reason: str
) -> None:
    """No record is to blame, and none burns a retry."""
    crm = always(status, **body)
    with pytest.raises(CredentialsRefusedError, match=reason):
        await push(crm, *deliveries(3))


async def test_secrets_that_n8n_repeats_are_hidden() -> None:
    """Whatever a workflow's author answers with."""
    repeated = f"you sent {SECRET} and signing"
    with pytest.raises(CredentialsRefusedError) as raised:
        await push(always(401, text=repeated))
    assert SECRET not in str(raised.value)
    account = Account("o", "n8n", URL, {"username": "ada", "password": SECRET}, {"auth": "basic"})
    crm = ScriptedCrm(
        lambda request: httpx.Response(422, text=f"header {request.headers['authorization']}")
    )
    (outcome,) = await build(account, crm.tools()).push([delivery(1)])
    token = crm.requests[0].headers["authorization"].split()[-1]
    assert token not in repr(outcome)


async def test_a_webhook_that_vanishes_is_waited_for_before_the_lane_pauses() -> None:
    """A workflow that is saved anew is unknown for a moment; one that is inactive stays so."""
    body = {"code": 404, "message": 'The requested webhook "POST contacts" is not registered.'}
    crm = always(404, json={**body, "hint": "The workflow must be active"})
    now = NOW

    def clock() -> datetime:
        return now

    client = httpx.AsyncClient(transport=httpx.MockTransport(crm))
    webhook = build(Account("o", "n8n", URL), Tools(client, clock, Rations(), Purse(clock)))
    for _ in range(6):
        (outcome,) = await webhook.push([delivery(1)])
        assert isinstance(outcome, Postponed)
        assert (outcome.code, outcome.until, outcome.lane) == (
            "NOT_REGISTERED",
            now + timedelta(seconds=10),
            True,
        )
        now += timedelta(seconds=10)
    with pytest.raises(CredentialsRefusedError, match=r"must be active"):
        await webhook.push([delivery(1)])


async def test_a_webhook_that_is_back_is_waited_for_anew() -> None:
    """One answer of another kind forgets what was unknown before."""
    replies = iter([404, 200, 404])
    crm = ScriptedCrm(lambda _: httpx.Response(next(replies), json=STARTED))
    now = NOW
    client = httpx.AsyncClient(transport=httpx.MockTransport(crm))
    tools = Tools(client, lambda: now, Rations(), Purse(lambda: now))
    webhook = build(Account("o", "n8n", URL), tools)
    kinds = []
    for _ in range(3):
        kinds += [type(outcome) for outcome in await webhook.push([delivery(1)])]
        now += timedelta(hours=1)
    assert kinds == [Postponed, Synced, Postponed]


@pytest.mark.parametrize(
    ("headers", "wait"), [({}, 10), ({"retry-after": "7"}, 7), ({"retry-after": "x"}, 10)]
)
async def test_a_429_postpones_the_lane(headers: dict[str, str], wait: int) -> None:
    """As long as Retry-After says."""
    crm = always(429, text="slow down", headers=headers)
    (outcome,) = await push(crm)
    assert outcome == Postponed(NOW + timedelta(seconds=wait), "RATE_LIMIT", "slow down")


async def test_what_is_too_large_is_divided() -> None:
    """A single contact that is too large is rejected."""

    def respond(request: httpx.Request) -> httpx.Response:
        found = content(request)
        large = any(one["first_name"] == "large" for one in found)
        if len(found) > 3 or (large and len(found) == 1):
            return httpx.Response(413, text="request entity too large")
        return httpx.Response(413 if large else 200, json=STARTED)

    batch = deliveries(8)
    batch[5] = replace(batch[5], first_name="large")
    outcomes = await push(ScriptedCrm(respond), *batch, batch_size="8")
    assert isinstance(outcomes[5], Rejected)
    assert outcomes[5].code == "TOO_LARGE"
    assert [isinstance(outcome, Synced) for outcome in outcomes].count(True) == 7


async def test_a_refusal_of_the_workflow_rejects() -> None:
    """Whatever status its author chose."""
    crm = always(422, json={"message": "no such list"})
    assert await push(crm) == [Rejected("REFUSED", "n8n answered 422: no such list")]


async def test_a_batch_that_fails_is_not_repeated_to_a_receiver_that_cannot_tell() -> None:
    """Nor in parts: some of it may have been taken."""
    crm = always(500, json={"message": "Error in workflow"})
    outcomes = await push(crm, *deliveries(4), batch_size="4", receiver_deduplicates="false")
    assert {type(outcome) for outcome in outcomes} == {Unknown}
    assert len(crm.requests) == 1


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        ({"status": "synced"}, Synced(DELIVERY_ID)),
        ({"status": "Synced", "execution_id": 17}, Synced(DELIVERY_ID, "17")),
        (
            {"status": "synced", "message": "tags left out"},
            Synced(DELIVERY_ID, "", "tags left out"),
        ),
        (
            {"status": "rejected", "code": "bad_phone", "message": "no", "execution_id": "17"},
            Rejected("BAD_PHONE", "no", "17"),
        ),
        ({"status": "rejected"}, Rejected("REJECTED", "no reason given")),
        ({"status": "retry", "message": "locked"}, Retry("RETRY", "locked")),
    ],
)
async def test_results_are_read_by_delivery_id(entry: dict[str, object], outcome: Outcome) -> None:
    """In an object, in an array of items, or alone, as n8n's nodes put them."""
    result = {"delivery_id": DELIVERY_ID, **entry}
    other = {"delivery_id": "another", "status": "rejected"}
    for body in ({"results": [other, result]}, [other, result], result):
        assert await push(always(200, json=body), response="results") == [outcome]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"delivery_id": DELIVERY_ID}],
        [{"delivery_id": DELIVERY_ID, "status": "done"}],
        [{"delivery_id": "another", "status": "synced"}],
        [{"status": "synced"}],
        [{"delivery_id": DELIVERY_ID, "status": "synced"}] * 2,
    ],
)
async def test_a_result_that_is_not_there_is_no_success(entries: list[dict[str, object]]) -> None:
    """Nor is one that is there twice."""
    (outcome,) = await push(results(*entries), response="results")
    assert isinstance(outcome, Retry)
    assert outcome.code == "UNACCOUNTED"
    crm = results(*entries)
    (outcome,) = await push(crm, response="results", receiver_deduplicates="false")
    assert isinstance(outcome, Unknown)


async def test_a_ticket_is_nothing_that_n8n_knows() -> None:
    """It hands out none."""
    (outcome,) = await adapter(always(200)).settle("t", [delivery(1)])
    assert isinstance(outcome, Unknown)
