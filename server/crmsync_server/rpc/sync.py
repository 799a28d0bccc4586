"""SyncService: queue contacts for CRMs, and tell how they stand."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import contact_sync_pb2, sync_service_pb2_grpc
from crmsync.v1 import sync_service_pb2 as pb
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync_server.errors import ContactNotFoundError, EmailRequiredError
from crmsync_server.rpc import attempts, events
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.bulk_answer import bulk_answer
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.estimate import Estimate
from crmsync_server.rpc.once import once
from crmsync_server.rpc.sync_failures import SyncFailures
from crmsync_server.store import queue, session, standing, stats
from crmsync_server.store.db import Database
from crmsync_server.store.filter import compile_filter
from crmsync_server.store.filter_fields import contact_fields
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import SessionKind, SyncStatus

_QueueRequest = pb.QueueContactRequest | pb.BulkQueueContactsRequest | pb.QueueAllContactsRequest


@dataclass(frozen=True, slots=True)
class SyncService(sync_service_pb2_grpc.SyncServiceServicer):
    """Queues in one transaction, then tells the engine.

    on_queued: told of (org_id, crm) after each commit that queued something.
    watch: where WatchEvents has its events from.
    failures: what retries and cancels.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    on_queued: Callable[[str, str], None]
    watch: events.Watch
    failures: SyncFailures

    @override
    async def QueueContact(
        self, request: pb.QueueContactRequest, context: Context
    ) -> pb.QueueContactResponse:
        """Queue one contact; see the contract."""
        caller, traits = current_caller(), await self.crms.usable(request.crm)
        contact_id, session_id = UUID(request.contact_id), new_id()

        async def work(connection: AsyncConnection) -> pb.QueueContactResponse:
            order = _order(request, session_id, SessionKind.QUEUE_CONTACT)
            selection = queue.Selection([contact_id], requires_email=traits.requires_email)
            count, _ = await queue.enqueue(connection, caller.org_id, selection, order)
            if count == 0:
                await _refuse(connection, caller.org_id, contact_id, request.crm)
            row = await standing.get(connection, caller.org_id, contact_id, request.crm)
            opened = await session.get(connection, caller.org_id, session_id)
            estimate = await self._estimate(connection, caller.org_id, request.crm, traits)
            when = estimate.first() if order.high else estimate.last()
            return pb.QueueContactResponse(
                contact_sync=messages.contact_sync(row, when), session=messages.session(opened)
            )

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.QueueContactResponse, work)
        self.on_queued(caller.org_id, request.crm)
        return response

    @override
    async def BulkQueueContacts(
        self, request: pb.BulkQueueContactsRequest, context: Context
    ) -> pb.BulkQueueContactsResponse:
        """Queue up to 10,000 contacts, each with its own answer; see the contract."""
        caller, traits = current_caller(), await self.crms.usable(request.crm)
        session_id = new_id()

        async def work(connection: AsyncConnection) -> pb.BulkQueueContactsResponse:
            order = _order(request, session_id, SessionKind.BULK_QUEUE_CONTACTS)
            asked = [UUID(contact_id) for contact_id in request.contact_ids]
            selection = queue.Selection(
                list(dict.fromkeys(asked)), requires_email=traits.requires_email
            )
            _, queued = await queue.enqueue(connection, caller.org_id, selection, order)
            refused = set(asked) - set(queued)
            known = await queue.refusals(connection, caller.org_id, list(refused))
            opened = await session.get(connection, caller.org_id, session_id)
            return bulk_answer(request, set(queued), set(known), messages.session(opened))

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.BulkQueueContactsResponse, work)
        self.on_queued(caller.org_id, request.crm)
        return response

    @override
    async def QueueAllContacts(
        self, request: pb.QueueAllContactsRequest, context: Context
    ) -> pb.QueueAllContactsResponse:
        """Queue every contact that passes the filter, in one statement; see the contract."""
        caller, traits = current_caller(), await self.crms.usable(request.crm)
        session_id = new_id()

        async def work(connection: AsyncConnection) -> pb.QueueAllContactsResponse:
            order = _order(request, session_id, SessionKind.QUEUE_ALL_CONTACTS)
            selection = _selection(request.filter, traits)
            count, _ = await queue.enqueue(connection, caller.org_id, selection, order)
            opened = await session.get(connection, caller.org_id, session_id)
            estimate = await self._estimate(connection, caller.org_id, request.crm, traits)
            return pb.QueueAllContactsResponse(
                session=messages.session(opened),
                queued_count=count,
                estimated_completion_time=timestamp(estimate.last() if count else None),
            )

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.QueueAllContactsResponse, work)
        self.on_queued(caller.org_id, request.crm)
        return response

    @override
    async def GetContactSyncStatus(
        self, request: pb.GetContactSyncStatusRequest, context: Context
    ) -> pb.GetContactSyncStatusResponse:
        """Tell how one contact stands at every CRM; see the contract."""
        caller, contact_id = current_caller(), UUID(request.contact_id)
        async with self.database.org(caller.org_id) as connection:
            rows = await standing.list(connection, caller.org_id, contact_id)
            backlogs = await self._backlogs(connection, caller.org_id, rows)
        if not rows:
            raise ContactNotFoundError(request.contact_id)
        estimates = await self._estimates(rows, backlogs)
        known = {crm: messages.never_synced(contact_id, crm) for crm in self.crms.known}
        found = {
            row.crm: messages.contact_sync(row, estimates.get(row.crm))
            for row in rows
            if row.crm is not None
        }
        return pb.GetContactSyncStatusResponse(
            contact_syncs=known | found, contact_id=request.contact_id, email=rows[0].email or ""
        )

    @override
    async def GetSyncStats(
        self, request: pb.GetSyncStatsRequest, context: Context
    ) -> pb.GetSyncStatsResponse:
        """Tell how many contacts stand where at one CRM; see the contract."""
        caller = current_caller()
        self.crms.find(request.crm)
        async with self.database.org(caller.org_id) as connection:
            counts = await stats.get(connection, caller.org_id, request.crm)
            recent = await stats.recent(connection, caller.org_id, request.crm)
        return pb.GetSyncStatsResponse(stats=messages.stats(request.crm, counts, recent))

    @override
    async def ListAttempts(
        self, request: pb.ListAttemptsRequest, context: Context
    ) -> pb.ListAttemptsResponse:
        """Tell the whole story of one contact; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        return await attempts.page(self.database, self.crms, self.clock, request)

    @override
    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Watch what attempts end in; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        async with aclosing(events.stream(self.watch, request, self.clock)) as told:
            async for message in told:
                yield message

    @override
    async def ListSyncFailures(
        self, request: pb.ListSyncFailuresRequest, context: Context
    ) -> pb.ListSyncFailuresResponse:
        """List the contacts that failed at one CRM; see the contract."""
        return await self.failures.list(request)

    @override
    async def RetryContact(
        self, request: pb.RetryContactRequest, context: Context
    ) -> pb.RetryContactResponse:
        """Queue one failed contact again; see the contract."""
        return await self.failures.retry(request)

    @override
    async def RetryAllFailures(
        self, request: pb.RetryAllFailuresRequest, context: Context
    ) -> pb.RetryAllFailuresResponse:
        """Queue every failed contact of one CRM again; see the contract."""
        return await self.failures.retry_all(request)

    @override
    async def CancelContact(
        self, request: pb.CancelContactRequest, context: Context
    ) -> pb.CancelContactResponse:
        """Take one contact out of the queue of one CRM; see the contract."""
        return await self.failures.cancel(request)

    async def _estimate(
        self, connection: AsyncConnection, org_id: str, crm: str, traits: CrmTraits
    ) -> Estimate:
        backlogs = await stats.backlogs(connection, org_id, [crm])
        return Estimate(backlogs[crm], traits, self.clock)

    async def _backlogs(
        self, connection: AsyncConnection, org_id: str, rows: Sequence[sa.Row[Any]]
    ) -> Mapping[str, sa.Row[Any]]:
        """Look at the lanes that a contact waits in; most are at rest and cost no look."""
        waiting = [row.crm for row in rows if row.sync_status == SyncStatus.QUEUED]
        crms = [crm for crm in waiting if crm in self.crms.known]
        return await stats.backlogs(connection, org_id, crms) if crms else {}

    async def _estimates(
        self, rows: Sequence[sa.Row[Any]], backlogs: Mapping[str, sa.Row[Any]]
    ) -> dict[str, datetime | None]:
        """Estimate for what waits; outside any transaction, for it may need one of its own."""
        queued = {row.crm: row for row in rows}
        found = {}
        for crm, backlog in backlogs.items():
            estimate = Estimate(backlog, await self.crms.traits(crm), self.clock)
            found[crm] = estimate.due(queued[crm].next_retry_time)
        return found


def _order(request: _QueueRequest, session_id: UUID, kind: SessionKind) -> queue.Order:
    return queue.Order(
        crm=request.crm,
        session_id=session_id,
        kind=kind,
        creator=current_caller().subject,
        high=request.priority == contact_sync_pb2.PRIORITY_HIGH,
        force=request.force,
    )


def _selection(chosen: QueueFilter, traits: CrmTraits) -> queue.Selection:
    return queue.Selection(
        requires_email=traits.requires_email,
        has_email=chosen.has_email if chosen.HasField("has_email") else None,
        not_already_synced=chosen.not_already_synced,
        domain_id=UUID(chosen.domain_id) if chosen.domain_id else None,
        condition=compile_filter(chosen.filter, contact_fields(), "filter.filter"),
    )


async def _refuse(connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str) -> NoReturn:
    if await queue.refusals(connection, org_id, [contact_id]):
        raise EmailRequiredError(str(contact_id), crm)
    raise ContactNotFoundError(str(contact_id))
