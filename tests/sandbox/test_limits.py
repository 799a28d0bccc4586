"""The rate limits of both CRMs, with their real numbers and headers."""

from collections.abc import AsyncIterator

import httpx
import pytest

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock

ACCOUNT = "/account-info/v3/details"


@pytest.fixture
async def sandbox(clock: MovableClock) -> AsyncIterator[Sandbox]:
    """Run both CRMs with their real limits, but for HubSpot's daily one."""
    async with Sandbox(hubspot=HubSpotSettings(daily_limit=200), clock=clock) as running:
        yield running


async def statuses(client: httpx.AsyncClient, path: str, count: int) -> list[int]:
    """Ask for a path so many times and return the statuses."""
    return [(await client.get(path)).status_code for _ in range(count)]


async def test_hubspot_takes_190_requests_in_any_ten_seconds(
    hubspot: httpx.AsyncClient, clock: MovableClock
) -> None:
    """The 191st names the policy; room comes back as the window rolls on."""
    assert set(await statuses(hubspot, ACCOUNT, 90)) == {200}
    clock.move(seconds=6)
    assert set(await statuses(hubspot, ACCOUNT, 100)) == {200}
    refused = await hubspot.get(ACCOUNT)
    assert refused.status_code == 429
    assert refused.json()["errorType"] == "RATE_LIMIT"
    assert refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert refused.headers["X-HubSpot-RateLimit-Max"] == "190"
    assert refused.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    clock.move(seconds=4)
    again = await hubspot.get(ACCOUNT)
    assert again.status_code == 200
    assert again.headers["X-HubSpot-RateLimit-Remaining"] == "89"


async def test_hubspots_day_ends_at_midnight_in_the_portals_time_zone(
    hubspot: httpx.AsyncClient, clock: MovableClock
) -> None:
    """Midnight in UTC changes nothing; five in the morning does."""
    assert set(await statuses(hubspot, ACCOUNT, 150)) == {200}
    clock.move(seconds=11)
    assert set(await statuses(hubspot, ACCOUNT, 50)) == {200}
    clock.move(hours=16)
    refused = await hubspot.get(ACCOUNT)
    assert refused.status_code == 429
    assert refused.json()["policyName"] == "DAILY"
    assert refused.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    clock.move(hours=1)
    again = await hubspot.get(ACCOUNT)
    assert again.status_code == 200
    assert again.headers["X-HubSpot-RateLimit-Daily"] == "200"
    assert again.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "199"


async def test_brevo_takes_ten_contact_requests_a_second(
    brevo: httpx.AsyncClient, clock: MovableClock
) -> None:
    """The header counts the seconds that remain."""
    assert set(await statuses(brevo, "/v3/contacts", 10)) == {200}
    refused = await brevo.get("/v3/contacts")
    assert refused.status_code == 429
    assert refused.json().keys() == {"code", "message"}
    assert refused.headers["x-sib-ratelimit-limit"] == "10"
    assert refused.headers["x-sib-ratelimit-remaining"] == "0"
    assert refused.headers["x-sib-ratelimit-reset"] == "1"
    clock.move(seconds=1)
    assert (await brevo.get("/v3/contacts")).headers["x-sib-ratelimit-remaining"] == "9"


async def test_brevo_takes_a_hundred_other_requests_an_hour(
    brevo: httpx.AsyncClient, clock: MovableClock
) -> None:
    """Contacts have an allowance of their own."""
    assert set(await statuses(brevo, "/v3/account", 100)) == {200}
    clock.move(minutes=20)
    refused = await brevo.get("/v3/processes/1")
    assert refused.status_code == 429
    assert refused.headers["x-sib-ratelimit-limit"] == "100"
    assert refused.headers["x-sib-ratelimit-reset"] == "2400"
    assert (await brevo.get("/v3/contacts")).status_code == 200
    clock.move(minutes=40)
    assert (await brevo.get("/v3/account")).status_code == 200


async def test_brevos_hourly_contact_limit_outlasts_the_second(clock: MovableClock) -> None:
    """The answer tells the longer wait."""
    settings = BrevoSettings(contacts_per_hour=2)
    async with (
        Sandbox(brevo=settings, clock=clock) as sandbox,
        httpx.AsyncClient(headers={"api-key": settings.api_key}) as brevo,
    ):
        url = f"{sandbox.urls['brevo']}/contacts"
        assert await statuses(brevo, url, 3) == [200, 200, 429]
        clock.move(seconds=1)
        assert (await brevo.get(url)).headers["x-sib-ratelimit-reset"] == "3599"


async def test_inspection_is_outside_the_limits(
    brevo: httpx.AsyncClient, clock: MovableClock
) -> None:
    """Looking costs nothing, needs no key and is not counted."""
    await statuses(brevo, "/v3/contacts", 11)
    del brevo.headers["api-key"]
    assert set(await statuses(brevo, "/_sandbox/calls", 20)) == {200}
    assert (await brevo.get("/_sandbox/calls")).json()["total"] == 11
    del clock
