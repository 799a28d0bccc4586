"""A server process with its PostgreSQL, and simulated CRMs in this process, which outlive it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crmsync_client import CrmsyncClient
from crmsync_server.demo.house import until_serving
from crmsync_server.demo.processes import Process, free_port
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.embedded import EmbeddedPostgres

ENGINE = {
    # A killed server's work is taken up again after this many seconds.
    "CRMSYNC_ENGINE_LEASE": "1.5",
    "CRMSYNC_ENGINE_RESCUE_INTERVAL": "0.5",
    "CRMSYNC_ENGINE_POLL_INTERVAL": "0.5",
    "CRMSYNC_ENGINE_BACKOFF_BASE": "0.1",
    "CRMSYNC_ALLOWED_NETWORKS": "127.0.0.0/8",
}


@dataclass(frozen=True)
class Served:
    """A server that is killed and started again on the same data."""

    sandbox: Sandbox
    server: Process
    target: str
    http: str
    database: Database

    async def start(self) -> None:
        """Start the server, and return once it serves."""
        await self.server.start()
        async with asyncio.timeout(60):
            await self.server.while_running(until_serving(self.target))

    async def restart(self) -> None:
        """Kill the server, and start it again."""
        await self.server.kill()
        await self.start()

    def client(self) -> CrmsyncClient:
        """Return a client that outlives the server."""
        return CrmsyncClient(self.target)

    async def rows(self, text: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        async with self.database.everyone() as connection:
            return [tuple(row) for row in await connection.execute(sa.text(text))]


@asynccontextmanager
async def served(
    folder: Path, sandbox: Sandbox, environment: Mapping[str, str]
) -> AsyncIterator[Served]:
    """Run a server in a folder, with simulated CRMs that run already."""
    target, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    serve = ["serve", "--data-dir", str(folder), "--grpc", target, "--http", http]
    async with database_in(folder) as database:
        server = Process(serve, {**ENGINE, **environment}, folder / "server.log")
        running = Served(sandbox, server, target, http, database)
        await running.start()
        try:
            yield running
        finally:
            await server.stop()


@asynccontextmanager
async def database_in(folder: Path) -> AsyncIterator[Database]:
    """Run the server's PostgreSQL, so that it outlives the server."""
    postgres = EmbeddedPostgres(folder)
    await asyncio.to_thread(postgres.start)
    database = Database(postgres.url)
    try:
        yield database
    finally:
        await database.close()
        await asyncio.to_thread(postgres.stop)
