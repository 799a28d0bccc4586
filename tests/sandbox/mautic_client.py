"""How tests ask a simulated Mautic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from crmsync_server.sandbox.mautic import Mautic, MauticSwitches
from crmsync_server.sandbox.server import Sandbox

BATCH = "/api/contacts/batch/new"
TOKEN = "/oauth/v2/token"


@asynccontextmanager
async def asking(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with good Basic credentials."""
    settings = sandbox.mautic.settings
    url, basic = sandbox.urls["mautic"], (settings.username, settings.password)
    async with httpx.AsyncClient(base_url=url, auth=basic, timeout=5) as client:
        yield client


def turn(mautic: Mautic, **switches: object) -> None:
    """Turn switches."""
    mautic.switches = MauticSwitches.model_validate(mautic.switches.model_dump() | switches)


def where(column: str, comparison: str, value: str) -> dict[str, str]:
    """Return the query of one condition."""
    return {"where[0][col]": column, "where[0][expr]": comparison, "where[0][val]": value}


async def write(client: httpx.AsyncClient, *records: object) -> dict[str, Any]:
    """Write a batch that is answered with 201."""
    reply = await client.post(BATCH, json=list(records))
    assert reply.status_code == 201
    found: dict[str, Any] = reply.json()
    return found
