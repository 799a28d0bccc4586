"""A server on a port of its own, over a database of its own and simulated CRMs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings

_PLENTY = 100_000
SECRET = "a secret for tests, long enough for HS256"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs, with limits that no test reaches by accident."""
    hubspot = HubSpotSettings(burst_limit=_PLENTY)
    brevo = BrevoSettings(contacts_per_second=_PLENTY, others_per_hour=_PLENTY)
    async with Sandbox(hubspot=hubspot, brevo=brevo) as running:
        yield running


@pytest.fixture
def settings(database_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Point a server at the test's database and CRMs."""
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database_url": database_url,
            "database_pool_size": 5,
            "grpc_address": "127.0.0.1:0",
            "drain_timeout": "5",
            "engine_backoff_base": "0.05",
            "engine_poll_interval": "0.5",
            "allowed_networks": "127.0.0.0/8",
            "hubspot_token": "sandbox-hubspot-token",
            "hubspot_base_url": sandbox.urls["hubspot"],
            "hubspot_options": {"burst_calls": str(_PLENTY), "timeout_seconds": "1"},
            "brevo_api_key": "xkeysib-sandbox",
            "brevo_base_url": sandbox.urls["brevo"],
            "brevo_list_id": 1,
            "brevo_options": {"contacts_calls": str(_PLENTY), "other_calls": str(_PLENTY)},
        }
    )


@pytest.fixture
async def target(settings: Settings) -> AsyncIterator[str]:
    """Run the server without authentication, and return its address."""
    async with serving(settings, authenticator_of(settings, SECRET)) as running:
        yield f"127.0.0.1:{running.port}"


@pytest.fixture
async def client(target: str) -> AsyncIterator[CrmsyncClient]:
    """Connect as the organization `default`."""
    async with CrmsyncClient(target) as connected:
        yield connected
