"""How tests ask a simulated Zoho."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from crmsync_server.sandbox.clock import Clock, utc_now
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings

TOKEN = "/oauth/v2/token"
CONTACTS = "/crm/v8/Contacts"
UPSERT = f"{CONTACTS}/upsert"
COQL = "/crm/v8/coql"
FIELDS = "/crm/v8/settings/fields"
WATCH = "/crm/v8/actions/watch"
BULK = "/crm/bulk/v8/read"


async def token(sandbox: Sandbox, **form: str) -> httpx.Response:
    """Ask for an access token as the registered client."""
    settings = sandbox.zoho.settings
    known = {
        "grant_type": "refresh_token",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "refresh_token": settings.refresh_token,
    }
    async with httpx.AsyncClient(base_url=sandbox.urls["zoho"], trust_env=False) as client:
        return await client.post(TOKEN, data={**known, **form})


@asynccontextmanager
async def asking(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with a good access token."""
    granted = (await token(sandbox)).json()
    headers = {"Authorization": f"Zoho-oauthtoken {granted['access_token']}"}
    async with httpx.AsyncClient(base_url=granted["api_domain"], headers=headers) as client:
        yield client


@asynccontextmanager
async def zoho(
    settings: ZohoSettings, clock: Clock = utc_now
) -> AsyncIterator[tuple[Sandbox, httpx.AsyncClient]]:
    """Run a sandbox whose Zoho has these settings, and yield it with a client."""
    async with Sandbox(zoho=settings, clock=clock) as sandbox, asking(sandbox) as client:
        yield sandbox, client


async def upsert(client: httpx.AsyncClient, *records: object, **body: object) -> httpx.Response:
    """Upsert records, by email unless the body says otherwise."""
    sent = {"data": list(records), "duplicate_check_fields": ["Email"], "trigger": [], **body}
    return await client.post(UPSERT, json=sent)


async def query(client: httpx.AsyncClient, text: str) -> list[dict[str, Any]]:
    """Return what a query finds, nothing included."""
    reply = await client.post(COQL, json={"select_query": text})
    assert reply.status_code in {200, 204}, reply.text
    found: list[dict[str, Any]] = reply.json()["data"] if reply.content else []
    return found


def person(number: int, **values: object) -> dict[str, object]:
    """Return the values of a contact that is told from others by a number."""
    return {"Last_Name": f"P{number}", "Email": f"p{number}@example.com", **values}
