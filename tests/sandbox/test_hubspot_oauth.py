"""An application's tokens at the simulated HubSpot."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox

TOKEN = "/oauth/v3/token"
CONTACTS = "/crm/v3/objects/contacts"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
_PORTAL = HubSpotSettings()
FORM = {
    "grant_type": "refresh_token",
    "client_id": _PORTAL.client_id,
    "client_secret": _PORTAL.client_secret,
    "refresh_token": _PORTAL.refresh_token,
}


async def test_a_token_is_granted_and_expires_when_it_was_said() -> None:
    """From then on it is refused as expired; a new one works."""
    now = [NOON]
    async with (
        Sandbox(clock=lambda: now[0]) as sandbox,
        httpx.AsyncClient(base_url=sandbox.urls["hubspot"], trust_env=False) as client,
    ):
        granted = (await client.post(TOKEN, data=FORM)).json()
        assert (granted["expires_in"], granted["hub_id"]) == (1800, 4242)
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        assert (await client.get(CONTACTS, headers=headers)).status_code == 200
        now[0] += timedelta(minutes=30)
        refused = await client.get(CONTACTS, headers=headers)
        assert (refused.status_code, refused.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
        again = (await client.post(TOKEN, data=FORM)).json()["access_token"]
        assert again != granted["access_token"]
        headers = {"Authorization": f"Bearer {again}"}
        assert (await client.get(CONTACTS, headers=headers)).status_code == 200
        assert sandbox.hubspot.tokens.issued == 2


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"refresh_token": "other"}, "BAD_REFRESH_TOKEN"),
        ({"client_id": "other"}, "BAD_CLIENT_ID"),
        ({"client_secret": "other"}, "BAD_CLIENT_SECRET"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(wrong: dict[str, str], status: str) -> None:
    """With status 400, and nothing is granted."""
    async with (
        Sandbox() as sandbox,
        httpx.AsyncClient(base_url=sandbox.urls["hubspot"], trust_env=False) as client,
    ):
        refused = await client.post(TOKEN, data=FORM | wrong)
        assert (refused.status_code, refused.json()["status"]) == (400, status)
        assert not sandbox.hubspot.tokens.issued


async def test_a_token_that_was_revoked_opens_nothing() -> None:
    """Neither does the access token that was granted for it; the private app's is another."""
    async with (
        Sandbox() as sandbox,
        httpx.AsyncClient(base_url=sandbox.urls["hubspot"], trust_env=False) as client,
    ):
        granted = (await client.post(TOKEN, data=FORM)).json()["access_token"]
        told = await client.post(f"{TOKEN}/introspect", data={"token": FORM["refresh_token"]})
        assert told.json()["token_use"] == "refresh_token"
        sandbox.hubspot.tokens.revoke()
        headers = {"Authorization": f"Bearer {granted}"}
        assert (await client.get(CONTACTS, headers=headers)).status_code == 401
        assert (await client.post(TOKEN, data=FORM)).json()["status"] == "BAD_REFRESH_TOKEN"
        own = {"Authorization": f"Bearer {sandbox.hubspot.settings.token}"}
        assert (await client.get(CONTACTS, headers=own)).status_code == 200
