"""A server that listens for webhooks, over a database of its own and simulated CRMs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from crmsync.v1 import contact_pb2, contact_service_pb2
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.webhooks import WebhookSettings
from crmsync_server.settings import Settings
from tests.service.accounts import Account, good
from tests.web.senders import BREVO_TOKEN, MAUTIC_SECRET, ZOHO_TOKEN

_PLENTY = 100_000
_SECRET = "a secret for tests, long enough for HS256"


@dataclass(frozen=True, slots=True)
class Site:
    """A running server, as its callers and CRMs see it."""

    url: str
    client: CrmsyncClient
    http: httpx.AsyncClient

    async def connect(self, sandbox: Sandbox, crm: str = "hubspot") -> str:
        """Create a connection that knows how webhooks are verified; return where they go."""
        account = good(sandbox, crm)
        verifying: Mapping[str, Mapping[str, str]] = {
            "hubspot": {"client_secret": sandbox.hubspot.settings.client_secret},
            "brevo": {"webhook_token": BREVO_TOKEN},
            "mautic": {"webhook_secret": MAUTIC_SECRET},
            "zoho": {"webhook_token": ZOHO_TOKEN},
        }
        secrets = {**account.secrets, **verifying[crm]}
        connection = await Account(crm, account.base_url, secrets, account.options).connect(
            self.client
        )
        return f"{self.url}/webhooks/{crm}/{connection.id}"

    async def contacts(self) -> dict[str, contact_pb2.Contact]:
        """Return every contact by its email."""
        request = contact_service_pb2.ListContactsRequest(page_size=1000)
        listed = await self.client.contacts.ListContacts(request)
        return {one.email: one for one in listed.contacts}

    async def person(self, email: str, **fields: str) -> contact_pb2.Contact:
        """Return the contact with this email; AssertionError unless it says this by now."""
        found = (await self.contacts()).get(email)
        assert found is not None
        assert {name: getattr(found, name) for name in fields} == fields
        return found

    async def counted(self, crm: str, result: str) -> int:
        """Return how many webhooks the metrics count."""
        text = (await self.http.get("/metrics")).text
        name = f'crmsync_webhooks_total{{crm="{crm}",result="{result}"}} '
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return int(float(lines[0].rsplit(" ", 1)[1])) if lines else 0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Site]:
    """Run a server."""
    async with serving(settings, authenticator_of(settings, _SECRET)) as server:
        url = f"http://127.0.0.1:{server.http_port}"
        async with (
            CrmsyncClient(f"127.0.0.1:{server.port}") as client,
            httpx.AsyncClient(base_url=url) as http,
        ):
            yield Site(url, client, http)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs, with limits that no test reaches by accident."""
    webhooks = WebhookSettings(attempts=20, retry_seconds=0.1)
    hubspot = HubSpotSettings(burst_limit=_PLENTY, webhooks=webhooks)
    brevo = BrevoSettings(contacts_per_second=_PLENTY, others_per_hour=_PLENTY, webhooks=webhooks)
    async with Sandbox(hubspot=hubspot, brevo=brevo) as simulated:
        yield simulated


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database."""
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database_url": database_url,
            "database_pool_size": 5,
            "grpc_address": "127.0.0.1:0",
            "http_address": "127.0.0.1:0",
            "http_timeout": "1",
            "drain_timeout": "5",
            "engine_backoff_base": "0.05",
            "engine_lease": "2",
            "engine_poll_interval": "0.5",
            "allowed_networks": "127.0.0.0/8",
        }
    )


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Site]:
    """Run the server without authentication."""
    async with running(settings) as site:
        yield site
