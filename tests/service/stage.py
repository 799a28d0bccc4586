"""A server that can be cut down in the middle of its work, and its like on the same database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa

from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.demo.house import until_serving
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.invariants import violations
from tests.postgres import Postgres, named
from tests.service.conftest import SECRET

_AT_WORK = ("deliver ", "express ", "settle ", "probe ", "run ", "notices ")


class Stage:
    """One database, the simulated CRMs, and the server of the moment.

    Enter it by `stage`. starts: how many servers there have been.
    """

    def __init__(self, postgres: Postgres, settings: Settings, sandbox: Sandbox) -> None:
        """Take where it plays; nothing runs yet."""
        assert settings.database_url is not None
        self.sandbox = sandbox
        self.starts = 0
        self._postgres = postgres
        self._settings = settings
        self._url = settings.database_url.get_secret_value()
        self._server: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    @property
    def http_url(self) -> str:
        """Return where webhooks go."""
        return f"http://{self._settings.http_address}"

    def client(self, org_id: str) -> CrmsyncClient:
        """Return a client of an organization, which outlives the server of the moment."""
        token = mint(SECRET, Caller(org_id, "tests", frozenset({Role.ADMIN})), timedelta(hours=1))
        return CrmsyncClient(self._settings.grpc_address, token=token)

    async def start(self) -> None:
        """Start a server, and return when it serves."""
        self._end = asyncio.Event()
        self._server = asyncio.create_task(self._serve(self._end), name="the server")
        await until_serving(self._settings.grpc_address)
        self.starts += 1

    async def stop(self) -> None:
        """Stop the server as it likes to be stopped."""
        self._end.set()
        assert self._server is not None
        await self._server

    async def cut_down(self) -> None:
        """End the server so that it says nothing more to the database: as kill -9 does."""
        await self._shut(out=True)
        for task in asyncio.all_tasks():
            if task.get_name().startswith(_AT_WORK):
                task.cancel()
        self._end.set()
        assert self._server is not None
        with suppress(Exception):
            await self._server
        await self._shut(out=False)

    async def rows(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Read the database."""
        async with self.database() as database, database.everyone() as connection:
            return (await connection.execute(sa.text(text), parameters)).all()

    async def violations(self) -> Sequence[sa.Row[Any]]:
        """Return every promise that the database breaks."""
        async with self.database() as database, database.everyone() as connection:
            return await violations(connection)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Open the server's database beside it."""
        database = Database(self._url, Pool(size=1))
        try:
            yield database
        finally:
            await database.close()

    async def _serve(self, end: asyncio.Event) -> None:
        async with serving(self._settings, authenticator_of(self._settings, SECRET)):
            await end.wait()

    async def _shut(self, *, out: bool) -> None:
        """Cut everybody off the database and keep them out, or let them in again."""
        name = named(self._url)
        admin = await asyncpg.connect(self._postgres.admin_url)
        try:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not out}')
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            await admin.execute(cut, name)
        finally:
            await admin.close()


@asynccontextmanager
async def stage(postgres: Postgres, settings: Settings, sandbox: Sandbox) -> AsyncIterator[Stage]:
    """Run a server; whoever is the server at the end is stopped."""
    running = Stage(postgres, settings, sandbox)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
