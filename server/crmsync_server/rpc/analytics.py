"""AnalyticsService: how synchronization does, and what it could not settle."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import analytics_service_pb2_grpc
from crmsync_server.errors import InvalidPageTokenError
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.conflict_choices import Sides
from crmsync_server.rpc.conflict_messages import conflict, state_of
from crmsync_server.rpc.conflict_resolution import Ways, resolve
from crmsync_server.rpc.conflict_watch import Watch, stream
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.figures import Figures
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.store import conflict_list, conflict_log
from crmsync_server.store.conflict_list import Filter
from crmsync_server.store.db import Database


@dataclass(frozen=True, slots=True)
class AnalyticsService(analytics_service_pb2_grpc.AnalyticsServiceServicer):
    """Tells how synchronization does; lists, resolves and watches conflicts.

    sides: how the contacts of (org_id, crm) and their records correspond.
    watch: where WatchConflicts has its changes from.
    on_resolved: told of (org_id, crm, session_id) after a conflict was resolved; without a session
        the CRM has the result.
    figures: what reads the statistics.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    sides: Callable[[str, str], Awaitable[Sides]]
    watch: Watch
    on_resolved: Callable[[str, str, UUID | None], None]
    figures: Figures

    @override
    async def GetSyncHealth(
        self, request: pb.GetSyncHealthRequest, context: Context
    ) -> pb.GetSyncHealthResponse:
        """Tell how synchronization does now; see the contract."""
        return await self.figures.health(request)

    @override
    async def GetPerformance(
        self, request: pb.GetPerformanceRequest, context: Context
    ) -> pb.GetPerformanceResponse:
        """Tell how a period went; see the contract."""
        return await self.figures.performance(request)

    @override
    async def GetTrends(
        self, request: pb.GetTrendsRequest, context: Context
    ) -> pb.GetTrendsResponse:
        """Tell how figures moved and where they go; see the contract."""
        return await self.figures.trends(request)

    @override
    async def GetSummaryReport(
        self, request: pb.GetSummaryReportRequest, context: Context
    ) -> pb.GetSummaryReportResponse:
        """Compare a period with the one before; see the contract."""
        return await self.figures.report(request)

    @override
    async def ListConflicts(
        self, request: pb.ListConflictsRequest, context: Context
    ) -> pb.ListConflictsResponse:
        """List conflicts, newest first; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        org_id, size = current_caller().org_id, page_size(request.page_size)
        before_id, chosen = _before_id(cursor_of(request)), _filter(request)
        async with self.database.org(org_id) as connection:
            bounds = await conflict_log.bounds(connection)
            rows = await conflict_list.page(
                connection, org_id, chosen, size=size + 1, before_id=before_id
            )
            counts = await conflict_list.open_counts(connection, org_id)
        told = [conflict(row, conflict_log.token_of(row, bounds)) for row in rows[:size]]
        page = fitting(told)
        more = len(rows) > len(page)
        return pb.ListConflictsResponse(
            conflicts=page,
            next_page_token=page_token(request, [page[-1].id]) if more else "",
            open_counts=counts,
        )

    @override
    async def ResolveConflict(
        self, request: pb.ResolveConflictRequest, context: Context
    ) -> pb.ResolveConflictResponse:
        """Resolve a conflict; see the contract."""
        org_id, conflict_id = current_caller().org_id, UUID(request.conflict_id)
        async with self.database.org(org_id) as connection:
            found = await conflict_list.get(connection, org_id, conflict_id)
        # Not within the transaction below: asking may need a connection of its own.
        ways = Ways(await self.crms.traits(found.crm), await self.sides(org_id, found.crm))

        async def work(connection: AsyncConnection) -> pb.ResolveConflictResponse:
            row = await resolve(connection, request, found.contact_id, ways)
            bounds = await conflict_log.bounds(connection)
            return pb.ResolveConflictResponse(
                conflict=conflict(row, conflict_log.token_of(row, bounds))
            )

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.ResolveConflictResponse, work)
        session_id = response.conflict.resolve_session_id
        self.on_resolved(org_id, found.crm, UUID(session_id) if session_id else None)
        return response

    @override
    async def WatchConflicts(
        self, request: pb.WatchConflictsRequest, context: Context
    ) -> AsyncIterator[pb.WatchConflictsResponse]:
        """Watch conflicts as they are found, change and end; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        told = stream(self.database, self.watch, request, self.clock)
        async with aclosing(told) as messages:
            async for message in messages:
                yield message


def _filter(request: pb.ListConflictsRequest) -> Filter:
    return Filter(
        crm=request.crm or None,
        state=state_of(request.state),
        contact_id=UUID(request.contact_id) if request.contact_id else None,
    )


def _before_id(cursor: Sequence[str] | None) -> UUID | None:
    try:
        return UUID(cursor[0]) if cursor else None
    except ValueError as error:
        raise InvalidPageTokenError from error
