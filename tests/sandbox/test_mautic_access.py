"""The simulated Mautic's door: credentials, tokens, switches and the hourly limit."""

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock
from tests.sandbox.mautic_client import BATCH, TOKEN, asking, turn

SELF = "/api/users/self"


async def token(sandbox: Sandbox, **form: str) -> httpx.Response:
    """Ask for a token as the registered application."""
    settings = sandbox.mautic.settings
    known = {"client_id": settings.client_id, "client_secret": settings.client_secret}
    async with httpx.AsyncClient(base_url=sandbox.urls["mautic"]) as client:
        return await client.post(TOKEN, data={**known, **form})


async def status_with(sandbox: Sandbox, **headers: str) -> tuple[int, str]:
    """Return the status and the type of error that a call with these headers gets."""
    async with httpx.AsyncClient(base_url=sandbox.urls["mautic"], headers=headers) as client:
        reply = await client.get(SELF)
    return reply.status_code, str(reply.json().get("errors", [{}])[0].get("type"))


async def test_wrong_basic_credentials_are_a_401(sandbox: Sandbox) -> None:
    """And so are none."""
    async with asking(sandbox) as client:
        assert (await client.get(SELF)).json()["username"] == "sandbox"
        assert (await client.get(SELF, auth=("sandbox", "wrong"))).status_code == 401
    assert (await status_with(sandbox))[0] == 401
    sandbox.mautic.faults.settings = FaultSettings(token_expired=True)
    async with asking(sandbox) as client:
        assert (await client.get(SELF)).status_code == 401
    assert (await token(sandbox, grant_type="client_credentials")).status_code == 400


async def test_the_api_and_basic_credentials_can_be_switched_off(sandbox: Sandbox) -> None:
    """403 with a type that tells which; the switches are turned over HTTP as well."""
    async with asking(sandbox) as client:
        assert (await client.patch("/_sandbox/switches", json={"api": 1})).status_code == 400
        await client.patch("/_sandbox/switches", json={"api_enabled": False})
        reply = await client.get(SELF)
        assert (reply.status_code, reply.json()["errors"][0]["type"]) == (403, "api_disabled")
        turn(sandbox.mautic, api_enabled=True, basic_enabled=False)
        reply = await client.get(SELF)
        assert (reply.status_code, reply.json()["errors"][0]["type"]) == (403, "access_denied")
        assert (await client.get("/_sandbox/switches")).json()["basic_enabled"] is False


async def test_a_user_without_permission_may_only_see_itself(sandbox: Sandbox) -> None:
    """403 without a type."""
    turn(sandbox.mautic, contacts_allowed=False)
    async with asking(sandbox) as client:
        assert (await client.get(SELF)).status_code == 200
        reply = await client.get("/api/contacts")
        assert (reply.status_code, reply.json()["errors"][0]["type"]) == (403, None)


async def test_maintenance_is_a_page_with_status_200(sandbox: Sandbox) -> None:
    """Nothing behind it is reached."""
    turn(sandbox.mautic, maintenance=True)
    async with asking(sandbox) as client:
        reply = await client.post(BATCH, json=[{"email": "ana@example.com"}])
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert not list(sandbox.mautic.contacts())


async def test_an_access_token_opens_until_it_expires(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """Client credentials give no refresh token."""
    granted = (await token(sandbox, grant_type="client_credentials")).json()
    bearer = f"Bearer {granted['access_token']}"
    assert granted["expires_in"] == 3600
    assert "refresh_token" not in granted
    assert (await status_with(sandbox, authorization=bearer))[0] == 200
    clock.move(seconds=3600)
    assert (await status_with(sandbox, authorization=bearer))[0] == 401
    assert sandbox.mautic.calls.as_json()["writes"] == 0


async def test_a_refresh_token_rotates(sandbox: Sandbox, clock: MovableClock) -> None:
    """It is good for one use within 14 days."""
    first = sandbox.mautic.settings.refresh_token
    granted = (await token(sandbox, grant_type="refresh_token", refresh_token=first)).json()
    assert granted["refresh_token"] != first
    reused = await token(sandbox, grant_type="refresh_token", refresh_token=first)
    assert reused.json()["error"] == "invalid_grant"
    clock.move(days=14)
    late = await token(sandbox, grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert late.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_secret": "wrong", "grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_the_token_endpoint_says_what_is_wrong(
    sandbox: Sandbox, form: dict[str, str], error: str
) -> None:
    """As OAuth2 names it."""
    reply = await token(sandbox, **form)
    assert (reply.status_code, reply.json()["error"]) == (400, error)


async def test_an_hourly_limit_is_told_by_headers_and_refused_with_429(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """There is none unless it is set; the reset is an instant."""
    async with asking(sandbox) as client:
        assert "x-ratelimit-limit" not in (await client.get(SELF)).headers
        turn(sandbox.mautic, hourly_limit=2)
        first = (await client.get(SELF)).headers
        assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"]) == ("2", "1")
        assert int(first["x-ratelimit-reset"]) == int(clock.now.timestamp()) + 3600
        assert (await client.get(SELF)).status_code == 200
        assert (await client.get(SELF)).status_code == 429
        clock.move(hours=1)
        assert (await client.get(SELF)).status_code == 200


async def test_a_fault_and_a_reset(sandbox: Sandbox) -> None:
    """A scripted 429 carries Retry-After; a reset leaves nothing of what was written."""
    fault = {"kind": "status", "status": 429, "retry_after_seconds": 7}
    sandbox.mautic.faults.script(ScriptedFault.model_validate(fault))
    async with asking(sandbox) as client:
        refused = await client.get(SELF)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
        assert (await client.get(SELF)).headers["mautic-version"] == "5.1.1"
        await client.post(BATCH, json=[{"email": "ana@example.com"}])
        held = (await client.get("/_sandbox/contacts")).json()
        assert [one["email"] for one in held] == ["ana@example.com"]
        await client.post("/_sandbox/reset")
        assert (await client.get("/_sandbox/contacts")).json() == []
        assert (await client.get("/api/nothing")).status_code == 404
