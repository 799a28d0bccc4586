"""Simulated CRMs on loopback, a client for each, and a clock that a test moves."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.server import Sandbox


class MovableClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        """Start at noon in UTC."""
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the present instant."""
        return self.now

    def move(self, **duration: float) -> None:
        """Move on by a duration, given as to `timedelta`."""
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> MovableClock:
    """Return the clock that both simulated CRMs read."""
    return MovableClock()


@pytest.fixture
async def sandbox(clock: MovableClock) -> AsyncIterator[Sandbox]:
    """Run both CRMs, Brevo with wide limits and imports that take no time."""
    brevo = BrevoSettings(
        contacts_per_second=10_000,
        others_per_hour=100_000,
        import_base_seconds=0,
        import_seconds_per_row=0,
    )
    async with Sandbox(brevo=brevo, clock=clock) as running:
        yield running


@pytest.fixture
async def hubspot(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of HubSpot with good credentials."""
    headers = {"Authorization": f"Bearer {sandbox.hubspot.settings.token}"}
    url = sandbox.urls["hubspot"]
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as client:
        yield client


@pytest.fixture
async def brevo(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of Brevo with good credentials."""
    headers = {"api-key": sandbox.brevo.settings.api_key}
    url = sandbox.urls["brevo"].removesuffix("/v3")
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as client:
        yield client
