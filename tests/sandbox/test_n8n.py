"""The simulated n8n: webhooks that are live or not, authentication, replies, executions."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import jwt
import pytest

from crmsync_server.sandbox.n8n import N8n, N8nSettings
from crmsync_server.sandbox.n8n_workflow import NodeCredentials, Workflow
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock

CONTACTS = "/webhook/contacts"
HELD = NodeCredentials()


@asynccontextmanager
async def asking(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client without credentials."""
    url = sandbox.urls["n8n"].removesuffix(CONTACTS)
    async with httpx.AsyncClient(base_url=url, timeout=5) as client:
        yield client


@pytest.fixture
async def n8n(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client without credentials, of an n8n whose workflow asks for none."""
    leave(sandbox.n8n, auth="none")
    async with asking(sandbox) as client:
        yield client


def leave(n8n: N8n, **workflow: object) -> None:
    """Leave the workflow `contacts` as an author might."""
    left = {"contacts": Workflow.model_validate(workflow)}
    n8n.state = n8n.state.model_copy(update={"workflows": left})


def body(number: int = 1, *, key: str = "k", **contact: object) -> dict[str, Any]:
    """Return a body with one contact."""
    record = {
        "delivery_id": f"c{number}:1",
        "idempotency_key": key,
        "contact_id": f"c{number}",
        "email": f"p{number}@x.com",
    }
    return {"version": 1, "contacts": [record | contact]}


async def test_a_workflow_is_started_and_takes_a_contact(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """n8n answers before it is known how that ends."""
    answer = await n8n.post(CONTACTS, json=body(first_name="Ada", properties={"plan": "gold"}))
    assert (answer.status_code, answer.json()) == (200, {"message": "Workflow was started"})
    assert (await n8n.get("/_sandbox/contacts")).json() == [
        {
            "contact_id": "c1",
            "email": "p1@x.com",
            "fields": {"email": "p1@x.com", "first_name": "Ada"},
            "properties": {"plan": "gold"},
            "times_created": 1,
            "times_updated": 0,
        }
    ]
    (execution,) = (await n8n.get("/_sandbox/executions")).json()
    assert (execution["path"], execution["test"], execution["status"]) == (
        "contacts",
        False,
        "success",
    )
    assert sandbox.n8n.calls.as_json()["writes"] == 1


async def test_absent_stays_and_null_clears(n8n: httpx.AsyncClient) -> None:
    """As the contract says."""
    await n8n.post(CONTACTS, json=body(first_name="Ada", company="Acme", properties={"a": "1"}))
    await n8n.post(CONTACTS, json=body(key="k2", company=None, properties={"a": None}))
    (contact,) = (await n8n.get("/_sandbox/contacts")).json()
    assert contact["fields"] == {"email": "p1@x.com", "first_name": "Ada"}
    assert contact["properties"] == {}
    assert (contact["times_created"], contact["times_updated"]) == (1, 1)


async def test_a_key_is_taken_once(n8n: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """What comes again changes nothing, and is answered as if it had."""
    for name in ("Ada", "Grace"):
        answer = await n8n.post(CONTACTS, json=body(first_name=name))
        assert answer.json() == {"message": "Workflow was started"}
    (contact,) = (await n8n.get("/_sandbox/contacts")).json()
    assert contact["fields"]["first_name"] == "Ada"
    assert sandbox.n8n.receiver.repetitions == 1


async def test_an_unknown_or_inactive_path_is_not_registered(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """With the hint that n8n gives."""
    leave(sandbox.n8n, auth="none", active=False)
    for path in ("contacts", "others"):
        answer = await n8n.post(f"/webhook/{path}", json=body())
        assert answer.status_code == 404
        message = f'The requested webhook "POST {path}" is not registered.'
        assert answer.json()["message"] == message
        assert "must be active" in answer.json()["hint"]
    assert (await n8n.get("/_sandbox/executions")).json() == []


async def test_a_wrong_method_names_the_right_ones(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """And starts nothing."""
    wrong = "This webhook is not registered for PATCH requests. Did you mean to make a"
    for methods, listed in ((("POST",), "POST"), (("GET", "POST", "PUT"), "GET, POST or PUT")):
        leave(sandbox.n8n, auth="none", methods=methods)
        answer = await n8n.patch(CONTACTS)
        assert (answer.status_code, answer.json()["message"]) == (404, f"{wrong} {listed} request?")
    assert (await n8n.get("/_sandbox/executions")).json() == []


async def test_a_preflight_lists_the_methods(n8n: httpx.AsyncClient) -> None:
    """To a browser alone; it never starts anything."""
    plain = await n8n.options(CONTACTS)
    assert (plain.status_code, "access-control-allow-methods" in plain.headers) == (204, False)
    for path, listed in ((CONTACTS, "OPTIONS, POST"), ("/webhook/others", "OPTIONS")):
        answer = await n8n.options(path, headers={"origin": "https://x.com"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-methods"] == listed


async def test_a_test_path_takes_one_call_within_two_minutes(
    n8n: httpx.AsyncClient, clock: MovableClock
) -> None:
    """After its author has pressed the button."""
    path = "/webhook-test/contacts"
    unheard = await n8n.post(path, json=body())
    assert unheard.status_code == 404
    assert "Execute workflow" in unheard.json()["hint"]
    await n8n.post("/_sandbox/listen/contacts")
    statuses = [(await n8n.post(path, json=body())).status_code for _ in range(2)]
    assert statuses == [200, 404]
    await n8n.post("/_sandbox/listen/contacts")
    clock.move(seconds=121)
    assert (await n8n.post(path, json=body())).status_code == 404


async def test_a_starting_n8n_answers_200_to_everything_but_its_health(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """And has started nothing."""
    sandbox.n8n.state = sandbox.n8n.state.model_copy(update={"state": "starting"})
    answer = await n8n.post(CONTACTS, json=body())
    assert (answer.status_code, answer.text) == (200, "n8n is starting up. Please wait")
    assert (await n8n.get("/healthz")).status_code == 200
    assert (await n8n.get("/healthz/readiness")).status_code == 503
    assert (await n8n.get("/_sandbox/executions")).json() == []


async def test_without_its_database_n8n_answers_503(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Its health knows nothing of that, its readiness does."""
    sandbox.n8n.state = sandbox.n8n.state.model_copy(update={"state": "no_database"})
    answer = await n8n.post(CONTACTS, json=body())
    assert (answer.status_code, answer.json()["message"]) == (503, "Database is not ready!")
    assert (await n8n.get("/healthz")).json() == {"status": "ok"}
    assert (await n8n.get("/healthz/readiness")).json() == {"status": "error"}


def bearer(secret: str = HELD.jwt_secret, algorithm: str = "HS256", **claims: float) -> str:
    """Return an Authorization header with a token."""
    return f"Bearer {jwt.encode(claims, secret, algorithm=algorithm)}"


def basic(pair: str) -> str:
    """Return an Authorization header with a user name and a password."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


NOON = 1_772_452_800  # when the clock of these tests begins
GOOD = basic(f"{HELD.username}:{HELD.password}")


@pytest.mark.parametrize(
    ("auth", "headers", "status"),
    [
        ("none", {}, 200),
        ("basic", {"authorization": GOOD}, 200),
        ("basic", {}, 401),
        ("basic", {"authorization": basic("sandbox:wrong")}, 401),
        ("basic", {"authorization": "Basic ###"}, 401),
        ("header", {HELD.header_name: HELD.header_value}, 200),
        ("header", {}, 403),
        ("header", {HELD.header_name: "wrong"}, 403),
        ("jwt", {"authorization": bearer(exp=NOON + 60)}, 200),
        ("jwt", {}, 401),
        ("jwt", {"authorization": GOOD}, 401),
        ("jwt", {"authorization": "Bearer a.b.c"}, 403),
        ("jwt", {"authorization": bearer(exp=NOON - 60)}, 403),
        ("jwt", {"authorization": bearer("another secret of thirty-two bytes", exp=NOON)}, 403),
    ],
)
async def test_each_kind_of_authentication(
    n8n: httpx.AsyncClient, sandbox: Sandbox, auth: str, headers: dict[str, str], status: int
) -> None:
    """Each refuses with its own status, as plain text, and starts nothing."""
    leave(sandbox.n8n, auth=auth)
    answer = await n8n.post(CONTACTS, json=body(), headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.text.startswith("Authorization ")
        assert sandbox.n8n.executions == []


async def test_a_node_without_its_credential_fails(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Whatever a caller shows."""
    leave(sandbox.n8n, auth="basic", has_credential=False)
    answer = await n8n.post(CONTACTS, json=body(), headers={"authorization": GOOD})
    assert answer.status_code == 500
    assert answer.json()["message"] == "No authentication data defined on node!"


async def test_a_node_that_ignores_bots_takes_programs_for_them(
    n8n: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """A bare name and version is enough."""
    leave(sandbox.n8n, auth="none", ignores_bots=True)
    for agent, status in (
        ("python-httpx/0.28.1", 403),
        ("crmsync/0.1", 403),
        ("Mozilla/5.0 (compatible; crmsync/0.1)", 403),
        ("Mozilla/5.0 (compatible; crmsync; contact sync)", 200),
    ):
        answer = await n8n.post(CONTACTS, json=body(), headers={"user-agent": agent})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        ("immediately", b'{"message":"Workflow was started"}'),
        ("node", b'{"results":[{"delivery_id":"c1:1","status":"synced"}]}'),
        ("last_node", b'{"delivery_id":"c1:1","status":"synced"}'),
        ("nothing", b""),
    ],
)
async def test_each_way_to_respond(
    n8n: httpx.AsyncClient, sandbox: Sandbox, respond: str, expected: bytes
) -> None:
    """As the author chose."""
    leave(sandbox.n8n, auth="none", respond=respond)
    answer = await n8n.post(CONTACTS, json=body())
    assert (answer.status_code, answer.content) == (200, expected)


@pytest.mark.parametrize(("respond", "status"), [("immediately", 200), ("node", 500)])
async def test_a_failing_workflow_shows_only_where_it_is_waited_for(
    n8n: httpx.AsyncClient, sandbox: Sandbox, respond: str, status: int
) -> None:
    """The execution has failed either way."""
    leave(sandbox.n8n, auth="none", fails=True, respond=respond)
    answer = await n8n.post(CONTACTS, json=body())
    assert answer.status_code == status
    if status == 500:
        assert answer.json() == {"message": "Error in workflow"}
    assert [execution["status"] for execution in sandbox.n8n.executions] == ["error"]
    assert list(sandbox.n8n.contacts()) == []


@pytest.mark.parametrize(
    ("secret", "late", "status"),
    [
        (HELD.signing_secret, 0, 200),
        (HELD.signing_secret, 299, 200),
        (HELD.signing_secret, 301, 500),
        (HELD.signing_secret, -301, 500),
        ("wrong", 0, 500),
        ("", 0, 500),
    ],
)
async def test_a_workflow_that_verifies_takes_only_what_is_signed(
    n8n: httpx.AsyncClient, sandbox: Sandbox, secret: str, late: int, status: int
) -> None:
    """By the right secret, within five minutes."""
    leave(sandbox.n8n, auth="none", respond="node", verifies=True)
    raw, timestamp = json.dumps(body()).encode(), str(NOON - late)
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + raw, sha256).hexdigest()
    headers = {"x-crmsync-timestamp": timestamp, "x-crmsync-signature": signed} if secret else {}
    answer = await n8n.post(CONTACTS, content=raw, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 422), (b"[]", 422), (b'{"version": 2, "contacts": []}', 500), (b'{"version": 1}', 500)],
)
async def test_a_body_that_is_not_the_contract_is_refused(
    n8n: httpx.AsyncClient, sandbox: Sandbox, content: bytes, status: int
) -> None:
    """By n8n where it is no JSON, by the workflow else."""
    leave(sandbox.n8n, auth="none", respond="node")
    assert (await n8n.post(CONTACTS, content=content)).status_code == status


async def test_a_body_that_is_too_large_is_refused(clock: MovableClock) -> None:
    """Before anybody looks at it."""
    async with (
        Sandbox(n8n=N8nSettings(payload_limit=100), clock=clock) as sandbox,
        asking(sandbox) as client,
    ):
        leave(sandbox.n8n, auth="none")
        assert (await client.post(CONTACTS, content=b" " * 101)).status_code == 413


async def test_workflows_are_shown_and_changed(n8n: httpx.AsyncClient) -> None:
    """And are again as they were at first after a reset."""
    shown = (await n8n.get("/_sandbox/n8n")).json()
    shown["workflows"]["contacts"]["active"] = False
    assert (await n8n.put("/_sandbox/n8n", json=shown)).json() == shown
    assert (await n8n.post(CONTACTS, json=body())).status_code == 404
    refused = await n8n.put("/_sandbox/n8n", json={"state": "asleep"})
    assert refused.status_code == 400
    assert (await n8n.post("/_sandbox/reset")).status_code == 204
    assert (await n8n.get("/_sandbox/n8n")).json()["workflows"]["contacts"]["active"]


async def test_an_unknown_path_is_answered_by_the_framework(n8n: httpx.AsyncClient) -> None:
    """As a page."""
    answer = await n8n.post("/rest/nothing")
    assert (answer.status_code, answer.text) == (404, "<pre>Cannot POST /rest/nothing</pre>")
