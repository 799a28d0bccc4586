"""Checking an n8n connection: what is found out, and that nothing is started to find it."""

from collections.abc import Callable

import httpx
import pytest

from crmsync_server.crm.adapter import Account, Standing
from crmsync_server.crm.n8n import build
from tests.crm.support import SECRET, ScriptedCrm

URL = "https://n8n.test/webhook/contacts"
LIVE = {
    "code": 404,
    "message": "This webhook is not registered for PATCH requests. "
    "Did you mean to make a POST request?",
}
INACTIVE = {"code": 404, "message": 'The requested webhook "PATCH contacts" is not registered.'}
Respond = Callable[[httpx.Request], httpx.Response]


def instance(methods: str = "OPTIONS, POST", probe: object = LIVE, ready: int = 200) -> ScriptedCrm:
    """Return an n8n that tells these methods, and answers a wrong one with this."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/readiness"):
            return httpx.Response(ready, json={"status": "ok" if ready == 200 else "error"})
        if request.method == "OPTIONS":
            headers = {"access-control-allow-methods": methods} if methods else {}
            return httpx.Response(204, headers=headers)
        return httpx.Response(404, json=probe)

    return ScriptedCrm(respond)


async def check(crm: ScriptedCrm, **options: str) -> Standing:
    """Check a connection to it."""
    secrets = {"header_name": "x-api-key", "header_value": SECRET}
    account = Account("org-1", "n8n", URL, secrets, {"auth": "header", **options})
    return await build(account, crm.tools()).check()


async def test_an_active_workflow_is_told() -> None:
    """Without its credentials, and without a call that could start it."""
    crm = instance()
    standing = await check(crm)
    assert standing.valid
    assert "the workflow is active; only a delivery proves" in standing.message
    assert [(request.method, request.url.path) for request in crm.requests] == [
        ("GET", "/healthz/readiness"),
        ("OPTIONS", "/webhook/contacts"),
        ("PATCH", "/webhook/contacts"),
    ]
    assert not any(SECRET in repr(request.headers.raw) for request in crm.requests)


@pytest.mark.parametrize(
    ("methods", "asked"),
    [
        ("OPTIONS, PATCH, POST", ["PUT"]),
        ("OPTIONS, PATCH, POST, PUT", ["DELETE"]),
        ("OPTIONS, DELETE, GET, HEAD, PATCH, POST, PUT", []),
    ],
)
async def test_a_method_that_the_workflow_listens_for_is_never_used(
    methods: str, asked: list[str]
) -> None:
    """It would start it."""
    crm = instance(methods)
    assert (await check(crm)).valid
    assert [request.method for request in crm.requests[2:]] == asked


@pytest.mark.parametrize("methods", ["", "GET, POST, OPTIONS", "POST"])
async def test_a_preflight_that_n8n_did_not_answer_stops_the_questions(methods: str) -> None:
    """A proxy's list does not say what may be called without starting anything."""
    crm = instance(methods)
    standing = await check(crm)
    assert standing.valid
    assert "does not say whether the workflow is active" in standing.message
    assert len(crm.requests) == 2


@pytest.mark.parametrize(
    ("crm", "reason"),
    [
        (instance("OPTIONS"), "no active workflow has this webhook"),
        (instance("OPTIONS, GET"), "listens for GET; set its HTTP Method to POST"),
        (instance(probe=INACTIVE), "is not registered"),
    ],
)
async def test_a_webhook_that_does_not_listen_is_told(crm: ScriptedCrm, reason: str) -> None:
    """With what would be right."""
    standing = await check(crm)
    assert (standing.valid, standing.reachable) == (False, True)
    assert reason in standing.message


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: httpx.Response(503, json={"status": "error"}),
        lambda _: httpx.Response(200, text="n8n is starting up. Please wait"),
        lambda _: httpx.Response(429),
        lambda _: httpx.Response(502, text="<html>bad gateway</html>"),
    ],
)
async def test_n8n_that_is_not_ready_is_told(respond: Respond) -> None:
    """Then nothing is said of the workflow."""
    standing = await check(ScriptedCrm(respond))
    assert (standing.valid, standing.reachable) == (False, False)


@pytest.mark.parametrize("ready", [401, 404])
async def test_a_hidden_readiness_is_no_reason_against_n8n(ready: int) -> None:
    """Not every n8n shows it to the world."""
    assert (await check(instance(ready=ready))).valid


async def test_the_readiness_is_asked_at_the_path_that_is_told() -> None:
    """As N8N_ENDPOINT_HEALTH was set."""
    crm = instance()
    await check(crm, health_path="/up/readiness")
    assert crm.requests[0].url == "https://n8n.test/up/readiness"
