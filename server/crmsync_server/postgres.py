"""The PostgreSQL that a server works on: one's own, or an embedded one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from crmsync_server.settings import Settings
from crmsync_server.store.embedded import EmbeddedPostgres


@asynccontextmanager
async def postgres(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the database: one's own, or that of an embedded PostgreSQL.

    Raises:
        ConnectionError: one's own cannot be reached; the text names the setting and the host.
        OSError: the data directory cannot be used; likewise.
        EmbeddedPostgresError: the embedded one does not start.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        await _reach(url)
        yield url
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    try:
        await asyncio.to_thread(embedded.start)
    except OSError as error:
        message = f"CRMSYNC_DATA_DIR: {settings.data_dir} cannot be used ({error.strerror})"
        raise OSError(message) from error
    try:
        yield embedded.url
    finally:
        await asyncio.to_thread(embedded.stop)


async def _reach(url: str) -> None:
    try:
        connection = await asyncpg.connect(url)
    except ValueError as error:  # its text may repeat a part of the URL, and so the password
        message = (
            "CRMSYNC_DATABASE_URL: it cannot be read as a URL of PostgreSQL; "
            "characters such as / and # in a password are written as %2F and %23"
        )
        raise ConnectionError(message) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        place = urlsplit(url).netloc.rpartition("@")[2] or "the PostgreSQL of this machine"
        why = str(error) or type(error).__name__
        message = f"CRMSYNC_DATABASE_URL: {place} cannot be reached ({why})"
        raise ConnectionError(message) from error
    await connection.close()
