"""BulkService: many contacts changed in one call, and brought to one CRM."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from typing_extensions import override

from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1 import bulk_service_pb2_grpc
from crmsync_server.rpc import bulk_health
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.bulk_batch import Batches
from crmsync_server.rpc.bulk_mass import MassUpdates
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.crms import Crms
from crmsync_server.store import bulk
from crmsync_server.store.db import Database

_RECENT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class BulkService(bulk_service_pb2_grpc.BulkServiceServicer):
    """Takes batches and streams of records.

    batches: what applies batches. masses: what takes and judges streams.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    batches: Batches
    masses: MassUpdates

    @override
    async def ApplyBatch(
        self, request: pb.ApplyBatchRequest, context: Context
    ) -> pb.ApplyBatchResponse:
        """Apply up to 100 records and wait for the CRM; see the contract."""
        return await self.batches.apply(request, context)

    @override
    async def StartMassUpdate(
        self, request_iterator: AsyncIterator[pb.StartMassUpdateRequest], context: Context
    ) -> pb.StartMassUpdateResponse:
        """Take up to 50,000 records of a stream; see the contract."""
        return await self.masses.start(request_iterator)

    @override
    async def ValidateBatch(
        self, request_iterator: AsyncIterator[pb.ValidateBatchRequest], context: Context
    ) -> pb.ValidateBatchResponse:
        """Say what would be found of a stream; see the contract."""
        return await self.masses.validate(request_iterator)

    @override
    async def GetBulkHealth(
        self, request: pb.GetBulkHealthRequest, context: Context
    ) -> pb.GetBulkHealthResponse:
        """Tell how bulk operations do; see the contract."""
        org_id, crm = current_caller().org_id, request.crm or None
        if crm:
            self.crms.find(crm)
        since = self.clock() - _RECENT
        async with self.database.org(org_id) as connection:
            rows = await bulk.health(connection, org_id, crm, since)
        return pb.GetBulkHealthResponse(health=bulk_health.health(rows))
