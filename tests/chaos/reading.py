"""A session that reads and delivers, and somebody who kills its server again and again."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import contact_pb2, session_pb2
from crmsync_client import CrmsyncClient
from crmsync_server.demo.house import until_serving
from crmsync_server.demo.processes import Process, free_port
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from crmsync_server.store.db import Database
from tests.chaos.served import ENGINE, database_in
from tests.eventually import eventually
from tests.service.accounts import good

_PLENTY = 100_000
# Slow enough to be met in the middle of its work.
_SLOW = FaultSettings(latency_seconds=0.3)
_COMMON = 300  # people whom both sides know, and of whom each knows something else
_OURS = 500  # people whom only we know


@dataclass(frozen=True)
class Reading:
    """A server process with its PostgreSQL, and a simulated CRM in this process."""

    crm: str
    sandbox: Sandbox
    server: Process
    target: str
    database: Database

    async def start(self) -> None:
        """Start the server, and return once it serves."""
        await self.server.start()
        async with asyncio.timeout(60):
            await self.server.while_running(until_serving(self.target))

    def slow_down(self) -> None:
        """Have the CRM take its time from now on."""
        self.sandbox.simulators[self.crm].faults.settings = _SLOW

    def client(self) -> CrmsyncClient:
        """Return a client that outlives the server."""
        return CrmsyncClient(self.target)

    def asked(self) -> int:
        """Return how many answers about contacts the CRM has given."""
        calls: Any = self.sandbox.simulators[self.crm].calls.as_json()["calls"]
        return sum(one["count"] for one in calls if "ontacts" in one["path"])

    async def has_asked(self, times: int) -> None:
        """Return when the CRM has been asked so often."""

        def reached() -> None:
            assert self.asked() >= times

        await eventually(reached, within=30)

    async def rows(self, text: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        async with self.database.everyone() as connection:
            return [tuple(row) for row in await connection.execute(sa.text(text))]

    def held(self) -> list[tuple[str, ...]]:
        """Return what the CRM holds, but for its own ids."""
        fields = "properties" if self.crm == "hubspot" else "fields"
        simulated: Iterable[Any] = self.sandbox.simulators[self.crm].contacts()
        return sorted(
            tuple(sorted(f"{name}={value}" for name, value in one[fields].items()))
            for one in simulated
        )


@asynccontextmanager
async def reading(folder: Path, crm: str, records: int) -> AsyncIterator[Reading]:
    """Run a server over a CRM that holds so many records, and contacts that it knows in part."""
    hubspot = HubSpotSettings(burst_limit=_PLENTY)
    # A token is over when whoever takes the work up again comes with it.
    zoho = ZohoSettings(page_token_seconds=1)
    target = f"127.0.0.1:{free_port()}"
    async with Sandbox(hubspot=hubspot, zoho=zoho) as sandbox, database_in(folder) as database:
        serve = ["serve", "--data-dir", str(folder), "--grpc", target]
        server = Process(serve, _environment(sandbox, crm), folder / "server.log")
        running = Reading(crm, sandbox, server, target, database)
        (sandbox.hubspot if crm == "hubspot" else sandbox.zoho).user.seed(records)
        await running.start()
        try:
            async with running.client() as client:
                await client.import_contacts(_contacts(records))
            yield running
        finally:
            await server.stop()


def _contacts(records: int) -> list[contact_pb2.Contact]:
    common = [
        contact_pb2.Contact(
            email=f"seed{number}@example.com", phone=f"+4420718387{number % 100:02}"
        )
        for number in range(1, records, records // _COMMON)
    ]
    ours = [
        contact_pb2.Contact(
            email=f"ours{number}@example.com", first_name="Ours", last_name=f"Number {number}"
        )
        for number in range(_OURS)
    ]
    return common + ours


def _environment(sandbox: Sandbox, crm: str) -> Mapping[str, str]:
    account = good(sandbox, crm)
    prefix = f"CRMSYNC_{crm.upper()}"
    return {
        **ENGINE,
        f"{prefix}_BASE_URL": account.base_url,
        f"{prefix}_OPTIONS": json.dumps({"burst_calls": str(_PLENTY)}),
        **{f"{prefix}_{name.upper()}": value for name, value in account.secrets.items()},
    }


def counted(session: session_pb2.Session) -> dict[str, int]:
    """Return what a session counts."""
    pull, progress = session.pull, session.progress
    return {
        "created": pull.created,
        "updated": pull.updated,
        "unchanged": pull.unchanged,
        "conflicts": pull.conflicts,
        "skipped": pull.skipped,
        "errors": pull.errors,
        "deleted": pull.deleted,
        "read": pull.read,
        "total": progress.total,
        "left out": progress.skipped,
        "failed": progress.errors,
        "synced": progress.synced,
    }
