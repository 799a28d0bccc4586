"""Running a server, from the database to the port."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog

from crmsync_server.app.doors import server
from crmsync_server.app.house import House
from crmsync_server.app.web import Web
from crmsync_server.crm.transport import GuardedTransport
from crmsync_server.postgres import postgres
from crmsync_server.rpc.auth import Authenticator
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.migrations import migrate
from crmsync_server.sync.pulse import Pulse

_log = structlog.get_logger()

_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready for calls.

    port: where it listens. http_port: where it listens for HTTP; None where it does not.
    """

    port: int
    database_url: str
    http_port: int | None = None


@asynccontextmanager
async def serving(settings: Settings, authenticator: Authenticator) -> AsyncIterator[Serving]:
    """Run a server for as long as the block; leaving it drains and closes everything.

    authenticator: from `authenticator_of`.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres(settings))
        migrated = await migrate(url)
        _log.info("database ready", schema=migrated.after, before=migrated.before)
        database = Database(url, _pool(settings))
        stack.push_async_callback(database.close)
        client = await stack.enter_async_context(_http_client(settings))
        house = House(settings, database, client)
        await house.open(stack, direct_url=_direct_url(settings, url))
        doors = server(house, authenticator)
        # Before the start: an address that is taken must not leave the engine running either.
        stack.push_async_callback(house.drain, doors)
        port = await doors.start()
        web = Web(house)
        stack.push_async_callback(web.stop)
        http_port = await web.start()

        async def tell(there: bool) -> None:  # noqa: FBT001 - it is all that is said
            await doors.serve(there)
            await web.serve(there)

        pulse = Pulse(database, tell)
        pulse.start()
        stack.push_async_callback(pulse.stop)
        yield Serving(port, url, http_port)


def _pool(settings: Settings) -> Pool:
    return Pool(
        size=settings.database_pool_size,
        overflow=settings.database_pool_overflow,
        timeout=settings.database_pool_timeout.total_seconds(),
        prepared_statements=settings.database_prepared_statements,
    )


def _direct_url(settings: Settings, url: str) -> str:
    direct = settings.database_direct_url
    return direct.get_secret_value() if direct is not None else url


@asynccontextmanager
async def _http_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    transport = GuardedTransport(settings.allowed_networks, limits=limits)
    async with httpx.AsyncClient(transport=transport) as client:
        yield client
