"""The PostgreSQL that the tests run on: one server for the run, one database for each test."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it ships no types

# The run throws its databases away: what makes them durable only makes them slow.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server, and who may make databases on it.

    Attributes:
        url: how the code under test connects, but for the database's name.
        admin_url: who makes and drops the databases.
    """

    url: str
    admin_url: str

    @asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """Make a database, say its URL, and drop it with whatever is still connected to it."""
        name = f"crmsync_{secrets.token_hex(6)}"
        owner = urlsplit(self.url).username
        # A quarter of the time that the default takes; worth it only where nothing is fsynced.
        source = f'TEMPLATE "{named(template)}" STRATEGY file_copy' if template else ""
        await self._run(f'CREATE DATABASE "{name}" OWNER "{owner}" {source}')
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            await self._run(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def named(url: str) -> str:
    """Return the name of a URL's database."""
    return urlsplit(url).path.removeprefix("/")
