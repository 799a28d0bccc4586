"""Where the demo runs: simulated CRMs, a server and its database, all in one folder."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crmsync_client import CrmsyncClient
from crmsync_server.demo.processes import Process, free_port
from crmsync_server.store.db import Database
from crmsync_server.store.embedded import EmbeddedPostgres

CRMS = ("hubspot", "brevo")
_READY_SECONDS = 60.0
_BETWEEN_KNOCKS = 0.05
_ENGINE = {
    # A killed server's work is taken up again after this many seconds.
    "CRMSYNC_ENGINE_LEASE": "6",
    "CRMSYNC_ENGINE_RESCUE_INTERVAL": "1",
    "CRMSYNC_ENGINE_POLL_INTERVAL": "1",
    # The simulators misbehave all the time, and recover at once.
    "CRMSYNC_ENGINE_MAX_RETRIES": "10",
    "CRMSYNC_ENGINE_BACKOFF_BASE": "0.5",
    "CRMSYNC_ENGINE_BACKOFF_CAP": "3",
}
# How long an adapter waits for a CRM that does not answer, in seconds.
_TIMEOUT = "2"
# Brevo answers a hundred questions about imports an hour; spread evenly, as crmsync does it for a
# server that stays, they would outlast the demo. The simulator still counts to a hundred.
_BREVO_QUESTIONS = "1000"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everybody listens, on the loopback interface."""

    server: int
    hubspot: int
    brevo: int

    @property
    def crms(self) -> Mapping[str, str]:
        """Return the root of each simulated CRM, by the CRM's name."""
        return {
            "hubspot": f"http://127.0.0.1:{self.hubspot}",
            "brevo": f"http://127.0.0.1:{self.brevo}",
        }


class House:
    """The processes and the doors to them. Enter it by `house`."""

    def __init__(self, folder: Path, ports: Ports, http: httpx.AsyncClient) -> None:
        """Name everything; nothing is started yet."""
        self.folder = folder
        self.data_dir = folder / "data"
        self.target = f"127.0.0.1:{ports.server}"
        self._ports = ports
        self._http = http
        sandbox = [
            "sandbox",
            "--hubspot-port",
            str(ports.hubspot),
            "--brevo-port",
            str(ports.brevo),
            "--mautic-port",
            "0",
            "--n8n-port",
            "0",
            "--zoho-port",
            "0",
            "--trading-port",
            "0",
            "--whatsapp-port",
            "0",
        ]
        self.sandbox = Process(sandbox, {}, folder / "sandbox.log")
        serve = ["serve", "--data-dir", str(self.data_dir), "--grpc", self.target]
        self.server = Process(serve, _environment(ports), folder / "server.log")

    async def start_sandbox(self) -> None:
        """Start the simulated CRMs, and return once they answer."""
        await self.sandbox.start()
        async with asyncio.timeout(_READY_SECONDS):
            for root in self._ports.crms.values():
                await self.sandbox.while_running(self._answers(f"{root}/_sandbox/faults"))

    async def start_server(self) -> None:
        """Start the server, and return once it serves."""
        await self.server.start()
        async with asyncio.timeout(_READY_SECONDS):
            await self.server.while_running(until_serving(self.target))

    async def set_faults(self, crm: str, faults: Mapping[str, object]) -> None:
        """Turn a simulated CRM's dial."""
        reply = await self._http.put(f"{self._ports.crms[crm]}/_sandbox/faults", json=faults)
        reply.raise_for_status()

    async def script(self, crm: str, *faults: Mapping[str, object]) -> None:
        """Have a simulated CRM meet these requests with these faults, whatever the dial says."""
        url = f"{self._ports.crms[crm]}/_sandbox/script"
        (await self._http.post(url, json=list(faults))).raise_for_status()

    async def held(self, crm: str) -> list[dict[str, Any]]:
        """Return everything that a simulated CRM holds, as it prints it."""
        reply = await self._http.get(f"{self._ports.crms[crm]}/_sandbox/contacts")
        contacts: list[dict[str, Any]] = reply.raise_for_status().json()
        return contacts

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Open the server's database beside it."""
        postgres = EmbeddedPostgres(self.data_dir)
        await asyncio.to_thread(postgres.start)
        try:
            database = Database(postgres.url)
            yield database
            await database.close()
        finally:
            await asyncio.to_thread(postgres.stop)

    async def _answers(self, url: str) -> None:
        while True:
            try:
                (await self._http.get(url)).raise_for_status()
            except httpx.TransportError:
                await asyncio.sleep(_BETWEEN_KNOCKS)
            else:
                return


async def until_serving(target: str) -> None:
    """Return once the server at an address says that it serves."""
    async with grpc.aio.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            reply = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(_BETWEEN_KNOCKS)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Start everything in a folder; stop it in reverse, the database last."""
    ports = Ports(free_port(), free_port(), free_port())
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        running = House(folder, ports, http)
        stack.push_async_callback(running.sandbox.stop)
        stack.push_async_callback(running.server.stop)
        await running.start_sandbox()
        await running.start_server()
        yield running


def client(running: House) -> CrmsyncClient:
    """Return a client of the house's server."""
    return CrmsyncClient(running.target)


def _environment(ports: Ports) -> dict[str, str]:
    return {
        **_ENGINE,
        "CRMSYNC_ALLOWED_NETWORKS": "127.0.0.0/8",
        "CRMSYNC_HUBSPOT_TOKEN": "sandbox-hubspot-token",
        "CRMSYNC_HUBSPOT_BASE_URL": ports.crms["hubspot"],
        "CRMSYNC_HUBSPOT_OPTIONS": json.dumps({"timeout_seconds": _TIMEOUT}),
        "CRMSYNC_BREVO_API_KEY": "xkeysib-sandbox",
        "CRMSYNC_BREVO_BASE_URL": f"{ports.crms['brevo']}/v3",
        "CRMSYNC_BREVO_LIST_ID": "1",
        "CRMSYNC_BREVO_OPTIONS": json.dumps(
            {"timeout_seconds": _TIMEOUT, "other_calls": _BREVO_QUESTIONS}
        ),
    }
