"""The PostgreSQL that everything is measured on: the embedded one, with the product's settings."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from crmsync_server.store.embedded import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Database:
    """One database: how its owner connects, and how the superuser does, past row security."""

    url: str
    admin_url: str

    async def settle(self) -> None:
        """Bring every contender to the same start: statistics known, nothing left to write out."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server.

    folder: of its data; removed with it.
    """

    folder: Path
    url: str
    admin_url: str

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Make an empty database, and drop it with whatever is still connected to it."""
        name = f"bench_{secrets.token_hex(4)}"
        owner = urlsplit(self.url).username
        await self._run(f'CREATE DATABASE "{name}" OWNER "{owner}"')
        try:
            yield Database(_named(self.url, name), _named(self.admin_url, name))
        finally:
            await self._run(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def version(self) -> str:
        """Return the server's version, such as 18.0."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            return str(await connection.fetchval("SHOW server_version"))
        finally:
            await connection.close()

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server in a new directory, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="crmsync-bench-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            yield Postgres(Path(folder), server.url, server.admin_url)
        finally:
            server.stop()


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
