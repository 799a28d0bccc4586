"""The simulated CRMs, started once for each module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.mautic import MauticSettings, MauticSwitches
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.crm.support import SECRET


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Run every simulated CRM, with limits that no test reaches by accident."""
    hubspot = HubSpotSettings(token=SECRET, burst_limit=100_000)
    brevo = BrevoSettings(api_key=SECRET, contacts_per_second=100_000, others_per_hour=100_000)
    mautic = MauticSettings(
        password=SECRET, client_secret=SECRET, switches=MauticSwitches(hourly_limit=100_000)
    )
    zoho = ZohoSettings(client_secret=SECRET, credits=1_000_000)
    async with Sandbox(hubspot=hubspot, brevo=brevo, mautic=mautic, zoho=zoho) as running:
        yield running
