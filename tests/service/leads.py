"""Short ways to register leads, to ask about them, and to say how they stand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from crmsync.v1 import lead_pb2, session_pb2
from crmsync.v1 import lead_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.trading import Trading
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from tests.service.calls import finished
from tests.service.conftest import SECRET

REGISTRATION = "/accounts/registrationwithsso"
ID = "{0:08x}-e5f6-7890-abcd-ef1234567890"


def settings_of(database_url: str, folder: Path, **besides: object) -> Settings:
    """Point a server at the test's database; organizations bring their own accounts."""
    return Settings.model_validate(
        {
            "data_dir": folder,
            "database_url": database_url,
            "database_pool_size": 5,
            "grpc_address": "127.0.0.1:0",
            "drain_timeout": "5",
            "engine_backoff_base": "0.05",
            "engine_poll_interval": "0.5",
            "allowed_networks": "127.0.0.0/8",
            **besides,
        }
    )


def lead(lead_id: str = "s-1", email: str = "", **told: str) -> lead_pb2.Lead:
    """Return a signup."""
    given = lead_pb2.Lead(
        id=lead_id,
        email=email or f"{lead_id}@example.com",
        first_name="Ada",
        last_name="Lovelace",
        phone="+491701234567",
    )
    for name, value in told.items():
        setattr(given, name, value)
    return given


async def register(
    client: CrmsyncClient, lead_id: str = "s-1", email: str = "", *, request_id: str = ""
) -> pb.RegisterLeadResponse:
    """Register a lead."""
    request = pb.RegisterLeadRequest(lead=lead(lead_id, email), request_id=request_id)
    return await client.leads.RegisterLead(request)


async def register_all(client: CrmsyncClient, lead_ids: Sequence[str]) -> None:
    """Register many, a few at a time."""
    gate = asyncio.Semaphore(4)

    async def one(lead_id: str) -> None:
        async with gate:
            await register(client, lead_id)

    await asyncio.gather(*map(one, lead_ids))


async def sync(client: CrmsyncClient, lead_id: str = "s-1") -> pb.SyncLeadResponse:
    """Ask about one lead."""
    return await client.leads.SyncLead(pb.SyncLeadRequest(lead_id=lead_id))


async def start(client: CrmsyncClient, days: int = 0) -> session_pb2.Session:
    """Open a session about recent leads."""
    request = pb.SyncRecentLeadsRequest(days=days)
    return (await client.leads.SyncRecentLeads(request)).session


async def sync_all(client: CrmsyncClient, days: int = 0) -> session_pb2.Session:
    """Ask about recent leads, and return the session at its end."""
    return await finished(client, (await start(client, days)).id)


async def get(client: CrmsyncClient, lead_id: str = "s-1") -> lead_pb2.Lead:
    """Return a lead as it was last seen."""
    return (await client.leads.GetLead(pb.GetLeadRequest(lead_id=lead_id))).lead


async def stats(client: CrmsyncClient) -> lead_pb2.LeadStats:
    """Return how the leads stand."""
    return (await client.leads.GetLeadStats(pb.GetLeadStatsRequest())).stats


async def history(client: CrmsyncClient, lead_id: str = "s-1") -> Sequence[lead_pb2.LeadChange]:
    """Return all changes of a lead, newest first."""
    request = pb.ListLeadHistoryRequest(lead_id=lead_id, page_size=1000)
    return (await client.leads.ListLeadHistory(request)).changes


async def listed(client: CrmsyncClient, request: pb.ListLeadsRequest) -> list[lead_pb2.Lead]:
    """List leads, page by page."""
    found: list[lead_pb2.Lead] = []
    while True:
        page = await client.leads.ListLeads(request)
        found += page.leads
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def count(broker: Trading, path: str = "/accounts") -> int:
    """Count the calls of a path."""
    calls = broker.calls.as_json()["calls"]
    return sum(call["count"] for call in calls if call["path"] == path)


async def put(database: Database, number: int, *, emails: bool = False) -> list[str]:
    """Put many leads into the database at once; return their ids. emails: a prefix of their own."""
    ids = [ID.format(one) for one in range(number)]
    told = "mail-" if emails else ""
    async with database.org("default") as connection:
        text = (
            "INSERT INTO leads (org_id, id, crm, email, first_name, last_name) SELECT 'default', i,"
            " 'trading', :told || i || '@example.com', 'A', 'B' FROM unnest(CAST(:ids AS text[])) i"
        )
        await connection.execute(sa.text(text), {"ids": ids, "told": told})
        totals = "INSERT INTO lead_totals (org_id, crm, leads) VALUES ('default', 'trading', :n)"
        conflict = " ON CONFLICT (org_id, crm) DO UPDATE SET leads = excluded.leads"
        await connection.execute(sa.text(totals + conflict), {"n": number})
    return ids


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[CrmsyncClient]:
    """Run a server, and connect to it."""
    async with (
        serving(settings, authenticator_of(settings, SECRET)) as server,
        CrmsyncClient(f"127.0.0.1:{server.port}") as client,
    ):
        yield client
