"""A ConnectionService over a database, with CRMs that answer from a script."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync.v1.connection_service_pb2_grpc import (
    ConnectionServiceStub,
    add_ConnectionServiceServicer_to_server,
)
from crmsync_server.adapters import Adapters
from crmsync_server.adapters.building import Shop
from crmsync_server.crm.adapter import Account
from crmsync_server.crm.registry import known
from crmsync_server.rpc.connection import ConnectionService
from crmsync_server.rpc.crms import Crms
from crmsync_server.store.db import Database
from crmsync_server.sync.tokens import TokenKeeper
from tests.rpc.serving import serving
from tests.store import accounts

ORG = "default"  # of whoever shows no token
PORTAL = {"portalId": 17, "timeZone": "UTC", "accountType": "STANDARD"}


@dataclass
class Crm:
    """Every CRM at once: what it answers to any call, and what it was asked.

    reply: a reply, or an exception to raise.
    """

    reply: httpx.Response | Exception = field(
        default_factory=lambda: httpx.Response(200, json={"results": [], "count": 3, **PORTAL})
    )
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


@dataclass
class House:
    """A running service.

    changed, queued: what it told of.
    """

    stub: ConnectionServiceStub
    crm: Crm
    adapters: Adapters
    changed: list[tuple[str, str]] = field(default_factory=list)
    queued: list[tuple[str, str]] = field(default_factory=list)

    async def create(self, crm: str = "brevo", **values: Any) -> Connection:  # noqa: ANN401 - a field's
        """Create a connection."""
        request = creation(crm, **values)
        return (await self.stub.CreateConnection(request)).connection

    async def update(
        self, connection: Connection, *paths: str, secrets: dict[str, str] | None = None
    ) -> Connection:
        """Change a connection."""
        request = pb.UpdateConnectionRequest(connection=connection)
        request.update_mask.paths.extend(paths)
        if secrets is not None:
            request.credentials.CopyFrom(Credentials(secrets=secrets))
        return (await self.stub.UpdateConnection(request)).connection

    async def get(self, connection_id: str) -> Connection:
        """Read a connection."""
        request = pb.GetConnectionRequest(connection_id=connection_id)
        return (await self.stub.GetConnection(request)).connection

    async def try_stored(self, crm: str = "brevo") -> pb.TestCredentialsResponse:
        """Test what is stored."""
        return await self.stub.TestCredentials(pb.TestCredentialsRequest(crm=crm))


def creation(
    crm: str = "brevo",
    *,
    secrets: dict[str, str] | None = None,
    request_id: str = "",
    **values: Any,  # noqa: ANN401 - a field's
) -> pb.CreateConnectionRequest:
    """Ask for a connection to be created."""
    given = Credentials(secrets=secrets or {"api_key": "xkeysib-canary"})
    return pb.CreateConnectionRequest(
        connection=Connection(crm=crm, **values), credentials=given, request_id=request_id
    )


@asynccontextmanager
async def connecting(
    database: Database, settings: dict[str, Account] | None = None
) -> AsyncIterator[House]:
    """Run a service; settings: the accounts of the installation."""
    crm = Crm()
    async with httpx.AsyncClient(transport=httpx.MockTransport(crm)) as client:
        keeper = TokenKeeper(database, accounts.vault(), lambda: datetime.now(UTC))
        urls = {"brevo": "https://brevo.test/v3", "hubspot": "https://hubspot.test"}
        adapters = Adapters(settings or {}, Shop(database, client, keeper, urls))
        changed: list[tuple[str, str]] = []
        queued: list[tuple[str, str]] = []

        def on_changed(org_id: str, crm_id: str) -> None:
            adapters.forget(org_id, crm_id)
            changed.append((org_id, crm_id))

        service = ConnectionService(
            database,
            accounts.vault(),
            adapters,
            Crms(known(), adapters.traits),
            (),
            on_changed=on_changed,
            on_queued=lambda *lane: queued.append(lane),
            clock=lambda: datetime.now(UTC),
        )
        register = partial(add_ConnectionServiceServicer_to_server, service)
        async with serving(register=register) as running:
            yield House(ConnectionServiceStub(running.channel), crm, adapters, changed, queued)
