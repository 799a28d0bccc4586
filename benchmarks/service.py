"""A server process under measurement, on a database of its own, and how much memory it takes."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import Database, Postgres
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.tokens import DEFAULT_ORG
from crmsync_server.store import db
from crmsync_server.store.search_index import tail

_READY_SECONDS = 30.0
_BETWEEN_LOOKS = 0.05
_LOOPBACK = "127.0.0.1"
_NOWHERE = f"http://{_LOOPBACK}:9"
# Both CRMs count as usable; their lanes are paused, so that nothing is ever sent to them.
_SETTINGS = {
    "CRMSYNC_ALLOWED_NETWORKS": f"{_LOOPBACK}/32",
    "CRMSYNC_HUBSPOT_TOKEN": "benchmark",
    "CRMSYNC_HUBSPOT_BASE_URL": _NOWHERE,
    "CRMSYNC_BREVO_API_KEY": "benchmark",
    "CRMSYNC_BREVO_BASE_URL": _NOWHERE,
}


@dataclass(frozen=True, slots=True)
class Service:
    """A running `crmsync-server serve`.

    database: what it stores in; pid: its process, without PostgreSQL's.
    """

    address: str
    database: Database
    pid: int

    def peak_megabytes(self) -> float:
        """Return the most memory that was resident at any moment so far, by the kernel's mark."""
        return _kilobytes(self.pid, "VmHWM") / 1024

    def megabytes(self) -> float:
        """Return the memory that is resident now."""
        return _kilobytes(self.pid, "VmRSS") / 1024


@asynccontextmanager
async def serving(server: Postgres) -> AsyncIterator[Service]:
    """Run a server process on a database of its own until the block ends."""
    async with server.database() as place, serving_on(server, place) as service:
        yield service


@asynccontextmanager
async def serving_on(
    server: Postgres, place: Database, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Service]:
    """Run a server process on a database that others may share, until the block ends."""
    address = f"{_LOOPBACK}:{_free_port()}"
    program = str(Path(sys.executable).parent / "crmsync-server")
    command = (program, "serve", "--grpc", address, "--data-dir", str(server.folder))
    told = {**_SETTINGS, **(settings or {}), "CRMSYNC_DATABASE_URL": place.url}
    async with started(command, told, address) as pid:
        yield Service(address, place, pid)


async def indexed(service: Service) -> float:
    """Wait until the index of words has followed what was written; return the seconds that took."""
    started = time.perf_counter()
    database = db.Database(service.database.url)
    try:
        while True:
            if not await _behind(database):
                break
            await asyncio.sleep(_BETWEEN_LOOKS)
    finally:
        await database.close()
    return time.perf_counter() - started


async def _behind(database: db.Database) -> bool:
    async with database.org(DEFAULT_ORG) as connection:
        return await tail(connection, DEFAULT_ORG) != ((), 0)


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """Run an empty echo service in a process of its own; yield its address."""
    address = f"{_LOOPBACK}:{_free_port()}"
    async with started((sys.executable, "-m", "benchmarks.echo", address), {}, address):
        yield address


@asynccontextmanager
async def started(
    command: tuple[str, ...], settings: dict[str, str], address: str
) -> AsyncIterator[int]:
    """Run a program until the block ends; yield its process id once it takes connections."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CRMSYNC_")
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment | settings, stdout=sys.stderr
    )
    try:
        await _ready(process, address)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process, address: str) -> None:
    # By a plain connection: gRPC's threads do not like the fork of the next program.
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                await asyncio.sleep(_BETWEEN_LOOKS)
            else:
                writer.close()
                return
            if process.returncode is not None:
                message = f"the program ended with {process.returncode}; its own words are above"
                raise RuntimeError(message)


def client(service: Service) -> CrmsyncClient:
    """Return a client of the server, as another process would have it."""
    return CrmsyncClient(service.address)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _kilobytes(pid: int, mark: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == mark:
            return int(value.split()[0])
    message = f"the kernel does not tell {mark}"
    raise RuntimeError(message)
