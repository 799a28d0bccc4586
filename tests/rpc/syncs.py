"""SyncService behind a real server, without an engine: what is queued stays where it is."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc

from crmsync.v1.sync_service_pb2_grpc import SyncServiceStub, add_SyncServiceServicer_to_server
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.events import sync_event
from crmsync_server.rpc.interceptors import CallInterceptor
from crmsync_server.rpc.sync import SyncService
from crmsync_server.rpc.sync_failures import Retries, SyncFailures
from crmsync_server.store.db import Database
from crmsync_server.sync.events import EventHub
from tests.rpc.contacts import OrganizationIsToken

WAIT = timedelta(minutes=1)
"""How long a retry waits for each that went before."""
MAX_RETRIES = 3
KNOWN = ("brevo", "hubspot", "mautic", "n8n")


@dataclass(frozen=True, slots=True)
class Told:
    """What the service has told the engine and those who watch sessions."""

    queued: list[tuple[str, str]] = field(default_factory=list)
    moved: list[tuple[str, tuple[UUID, ...]]] = field(default_factory=list)

    def on_queued(self, org_id: str, crm: str) -> None:
        """Hear that something waits."""
        self.queued.append((org_id, crm))

    def on_moved(self, org_id: str, *session_ids: UUID) -> None:
        """Hear that sessions moved."""
        self.moved.append((org_id, session_ids))


@asynccontextmanager
async def serving(database: Database, told: Told) -> AsyncGenerator[SyncServiceStub]:
    """Run the service on a port of its own, and connect to it.

    brevo needs an email, mautic has no credentials.
    """
    crms = Crms(KNOWN, _traits)
    retries = Retries(MAX_RETRIES, lambda count: WAIT * (count + 1))
    failures = SyncFailures(database, crms, _now, retries, told.on_queued, told.on_moved)
    watch = EventHub(database, sync_event).watch
    service = SyncService(database, crms, _now, told.on_queued, watch, failures)
    server = grpc.aio.server(interceptors=[CallInterceptor(OrganizationIsToken())])
    add_SyncServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SyncServiceStub(channel)
    await server.stop(None)


async def _traits(_: str, crm: str) -> CrmTraits:
    return CrmTraits(
        enabled=crm != "mautic", requires_email=crm == "brevo", records_per_second=10.0
    )


def _now() -> datetime:
    return datetime.now(UTC)
