"""Adapters that speak to simulated CRMs over loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm import brevo, mautic
from crmsync_server.crm.adapter import Account, Tools
from crmsync_server.crm.brevo import BrevoAdapter
from crmsync_server.crm.mautic import MauticAdapter
from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.mautic import MauticSettings
from crmsync_server.sandbox.server import Sandbox
from tests.crm.support import SECRET, Purse, Rations


@dataclass(frozen=True, slots=True)
class Loopback:
    """Simulated CRMs, and an adapter for each of two."""

    sandbox: Sandbox
    brevo: BrevoAdapter
    mautic: MauticAdapter


@asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    """Run the simulated CRMs, with limits that no test reaches by accident."""
    limits = BrevoSettings(api_key=SECRET, contacts_per_second=100_000, others_per_hour=100_000)
    transport = AiohttpTransport()
    async with (
        Sandbox(brevo=limits, mautic=MauticSettings(password=SECRET)) as sandbox,
        httpx.AsyncClient(transport=transport) as client,
    ):
        tools = Tools(client, _now, Rations(), Purse(_now))
        key, user = {"api_key": SECRET}, {"username": "sandbox", "password": SECRET}
        yield Loopback(
            sandbox,
            brevo.build(Account("org-1", "brevo", sandbox.urls["brevo"], key), tools),
            mautic.build(Account("org-1", "mautic", sandbox.urls["mautic"], user), tools),
        )


def _now() -> datetime:
    return datetime.now(UTC)
