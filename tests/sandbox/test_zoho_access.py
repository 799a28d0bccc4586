"""The simulated Zoho's door: tokens, data centres, scopes, and whose organization it is."""

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import (
    BULK,
    CONTACTS,
    COQL,
    FIELDS,
    TOKEN,
    WATCH,
    asking,
    token,
    upsert,
)

ME = "/crm/v8/users?type=CurrentUser"


async def test_a_refresh_token_gives_an_access_token_for_an_hour(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """The reply says where the API is, and brings no new refresh token."""
    granted = (await token(sandbox)).json()
    assert granted.keys() == {"access_token", "api_domain", "token_type", "expires_in"}
    assert (granted["api_domain"], granted["expires_in"]) == (sandbox.urls["zoho"], 3600)
    async with asking(sandbox) as client:
        assert (await client.get(ME)).status_code == 200
        clock.move(seconds=3600)
        refused = await client.get(ME)
        assert (refused.status_code, refused.json()["code"]) == (401, "INVALID_TOKEN")


async def test_a_bearer_is_not_known_here(sandbox: Sandbox) -> None:
    """The kind of credentials is Zoho's own."""
    access = (await token(sandbox)).json()["access_token"]
    async with httpx.AsyncClient(base_url=sandbox.urls["zoho"]) as client:
        refused = await client.get(ME, headers={"Authorization": f"Bearer {access}"})
        assert refused.json()["code"] == "INVALID_TOKEN"
        assert (await client.get(ME)).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"refresh_token": "1000.other"}, "invalid_code"),
        ({"client_id": "1000.OTHER"}, "invalid_client"),
        ({"client_secret": "other"}, "invalid_client_secret"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_a_refused_token_is_a_200(sandbox: Sandbox, form: dict[str, str], error: str) -> None:
    """Only the body tells."""
    reply = await token(sandbox, **form)
    assert (reply.status_code, reply.json()) == (200, {"error": error})


async def test_ten_tokens_in_ten_minutes_are_enough(sandbox: Sandbox, clock: MovableClock) -> None:
    """The eleventh has to wait."""
    for _ in range(10):
        assert "access_token" in (await token(sandbox)).json()
    refused = await token(sandbox)
    assert (refused.status_code, refused.json()["error"]) == (200, "Access Denied")
    clock.move(minutes=10)
    assert "access_token" in (await token(sandbox)).json()


async def test_the_sixteenth_token_ends_the_oldest(sandbox: Sandbox, clock: MovableClock) -> None:
    """Fifteen hold at a time."""
    async with asking(sandbox) as first, asking(sandbox) as second:
        for number in range(14):
            if number % 5 == 0:
                clock.move(minutes=10)
            assert "access_token" in (await token(sandbox)).json()
        assert (await first.get(ME)).status_code == 401
        assert (await second.get(ME)).status_code == 200


async def test_a_revoked_refresh_token_ends_everything(sandbox: Sandbox) -> None:
    """As when an administrator removes the application."""
    async with asking(sandbox) as client:
        sandbox.zoho.tokens.revoke()
        assert (await client.get(ME)).status_code == 401
    assert (await token(sandbox)).json() == {"error": "invalid_code"}


async def test_another_data_centre_does_not_know_the_token(clock: MovableClock) -> None:
    """Under another name, this host is the accounts host of one."""
    settings = ZohoSettings(foreign_hosts=("localhost",))
    async with Sandbox(zoho=settings, clock=clock) as sandbox:
        assert "access_token" in (await token(sandbox)).json()
        sandbox.urls["zoho"] = sandbox.urls["zoho"].replace("127.0.0.1", "localhost")
        assert (await token(sandbox)).json() == {"error": "invalid_code"}


async def test_the_dial_lets_every_token_expire(sandbox: Sandbox) -> None:
    """At both hosts."""
    async with asking(sandbox) as client:
        sandbox.zoho.faults.settings = FaultSettings(token_expired=True)
        assert (await client.get(ME)).json()["code"] == "INVALID_TOKEN"
    assert (await token(sandbox)).json() == {"error": "invalid_code"}


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("ZohoCRM.users", "GET", ME),
        ("ZohoCRM.org", "GET", "/crm/v8/org"),
        ("ZohoCRM.settings", "GET", f"{FIELDS}?module=Contacts"),
        ("ZohoCRM.coql", "POST", COQL),
        ("ZohoCRM.bulk", "POST", BULK),
        ("ZohoCRM.notifications", "POST", WATCH),
        ("ZohoSearch.securesearch", "GET", f"{CONTACTS}/search?email=a@example.com"),
        ("ZohoCRM.modules", "GET", f"{CONTACTS}?fields=id"),
    ],
)
async def test_a_scope_that_is_missing_is_told_apart(
    sandbox: Sandbox, scope: str, method: str, path: str
) -> None:
    """The credentials are good; the path is not for them."""
    async with asking(sandbox) as client:
        assert (await client.request(method, path)).status_code != 401
        sandbox.zoho.scopes = tuple(
            one for one in sandbox.zoho.settings.scopes if not one.startswith(scope)
        )
        refused = await client.request(method, path)
        assert (refused.status_code, refused.json()["code"]) == (401, "OAUTH_SCOPE_MISMATCH")


async def test_a_narrow_scope_allows_what_it_names(sandbox: Sandbox) -> None:
    """Reading contacts does not write them."""
    sandbox.zoho.scopes = ("ZohoCRM.modules.contacts.READ",)
    async with asking(sandbox) as client:
        assert (await client.get(f"{CONTACTS}?fields=id&per_page=1")).status_code == 204
        assert (await upsert(client, {"Last_Name": "A"})).json()["code"] == "OAUTH_SCOPE_MISMATCH"


async def test_the_user_and_the_organization_can_be_asked_for(sandbox: Sandbox) -> None:
    """Whoever the token belongs to is whom its writes are put down to."""
    async with asking(sandbox) as client:
        (me,) = (await client.get(ME)).json()["users"]
        (org,) = (await client.get("/crm/v8/org")).json()["org"]
        modules = (await client.get("/crm/v8/settings/modules")).json()["modules"]
        await upsert(client, {"Last_Name": "A"})
        (contact,) = (await client.get(f"{CONTACTS}?fields=Modified_By")).json()["data"]
    assert org["zgid"] == sandbox.zoho.settings.org_id
    assert [one["api_name"] for one in modules] == ["Contacts", "Accounts"]
    assert contact["Modified_By"]["id"] == me["id"]


async def test_what_zoho_does_not_have_is_told_in_its_words(sandbox: Sandbox) -> None:
    """404 for a path, 405 for a method, and one shape of body for both."""
    async with asking(sandbox) as client:
        lost = await client.get("/crm/v8/nothing")
        assert (lost.status_code, lost.json()["code"]) == (404, "INVALID_URL_PATTERN")
        wrong = await client.patch(f"{CONTACTS}/upsert")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "INVALID_REQUEST_METHOD")
        garbled = await client.post(f"{CONTACTS}/upsert", content=b"{")
        assert (garbled.status_code, garbled.json()["status"]) == (400, "error")


async def test_a_reset_forgets_all_that_was_written(sandbox: Sandbox) -> None:
    """Tokens too."""
    async with asking(sandbox) as client:
        await upsert(client, {"Last_Name": "A"})
        await client.post("/_sandbox/reset")
        assert (await client.get("/_sandbox/contacts")).json() == []
        assert (await client.get(ME)).status_code == 401
        assert (await client.post(TOKEN)).status_code == 200
