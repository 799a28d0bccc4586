"""SearchService behind a real server, over contacts of one organization and of another."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import grpc.aio

from crmsync.v1 import search_service_pb2 as pb
from crmsync.v1.search_service_pb2_grpc import (
    SearchServiceStub,
    add_SearchServiceServicer_to_server,
)
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.export import Exports
from crmsync_server.rpc.interceptors import CallInterceptor
from crmsync_server.rpc.record_sync import RecordSync
from crmsync_server.rpc.search import SearchService
from crmsync_server.store import contact
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from tests.rpc.contacts import OrganizationIsToken
from tests.store.indexing import index_all

ORG = "acme"

# A channel that measures how fast it is takes in megabytes that nobody has read.
_SMALL_BUFFERS = (("grpc.http2.bdp_probe", 0),)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CRMS = ("brevo", "hubspot", "zoho")


@dataclass(frozen=True, slots=True)
class Searching:
    """A running service.

    queued: the (organization, CRM) of each hint that something was queued.
    """

    database: Database
    stub: SearchServiceStub
    exports: Exports
    queued: list[tuple[str, str]] = field(default_factory=list)

    async def names(self, text: str = "", filter_text: str = "", order_by: str = "") -> list[str]:
        """Return the names that a search finds, over all its pages of two."""
        request = pb.SearchRecordsRequest(
            text=text, filter=filter_text, order_by=order_by, page_size=2
        )
        return [one async for one in self._names(request)]

    async def _names(self, request: pb.SearchRecordsRequest) -> AsyncIterator[str]:
        while True:
            page = await self.stub.SearchRecords(request)
            for record in page.records:
                yield record.contact.name
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def add(self, *contents: Content, org_id: str = ORG) -> list[UUID]:
        """Create contacts, one transaction each, and return their ids."""
        ids = []
        for content in contents:
            async with self.database.org(org_id) as connection:
                row = await contact.create(connection, org_id, content)
            ids.append(row.id)
        return ids


@asynccontextmanager
async def searching(database: Database, **traits: CrmTraits) -> AsyncGenerator[Searching]:
    """Run the service; CRMs are enabled and need no email unless their traits say so."""
    usual = CrmTraits(enabled=True, requires_email=False, records_per_second=10)

    async def look(_org_id: str, crm: str) -> CrmTraits:
        return traits.get(crm, usual)

    crms, queued = Crms(CRMS, look), list[tuple[str, str]]()
    syncs = RecordSync(database, crms, lambda org_id, crm: queued.append((org_id, crm)))
    exports = Exports(database, crms, lambda: NOW)
    server = grpc.aio.server(interceptors=[CallInterceptor(OrganizationIsToken())])
    add_SearchServiceServicer_to_server(SearchService(database, crms, syncs, exports), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", _SMALL_BUFFERS) as channel:
        yield Searching(database, SearchServiceStub(channel), exports, queued)
    await server.stop(None)


async def index(database: Database) -> None:
    """Let the index of terms follow."""
    await index_all(database)


async def exported(
    stub: SearchServiceStub, request: pb.ExportRecordsRequest
) -> tuple[pb.ExportRecordsResponse, bytes, Sequence[int]]:
    """Read an export: its header, the file, and the progress as it was told."""
    messages = [message async for message in stub.ExportRecords(request)]
    chunks = [message.chunk for message in messages[1:]]
    data = b"".join(chunk.data for chunk in chunks)
    return messages[0], data, [chunk.exported_count for chunk in chunks]
