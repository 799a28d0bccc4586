"""LeadService: hand signups to a broker's CRM, and follow what becomes of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import lead_service_pb2 as pb
from crmsync.v1 import lead_service_pb2_grpc
from crmsync_server.crm.leads import Leads, leads_of
from crmsync_server.crm.questions import Trouble
from crmsync_server.errors import (
    CrmDisabledError,
    InvalidPageTokenError,
    LeadNotAtCrmError,
    NotSupportedError,
)
from crmsync_server.rpc import lead_messages as messages
from crmsync_server.rpc import sync_messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.rpc.lead_registration import Registration
from crmsync_server.rpc.once import once, once_elsewhere
from crmsync_server.rpc.paging import cursor_of, page_size, page_token
from crmsync_server.store import lead, lead_session, session
from crmsync_server.store.db import Database
from crmsync_server.store.lead import Place

_DAYS = 7

Look = Callable[[str, sa.Row[Any], Leads], Awaitable[bool | Trouble | None]]
"""Asks about the lead of (org_id, row, leads) and keeps what is told: whether it differs from what
was known; None where the CRM does not have it. See sync.lead_look."""


@dataclass(frozen=True, slots=True)
class Helm:
    """What LeadService asks of the rest of the server, and tells it.

    look: asks a CRM about one lead.
    switched_on: whether (org_id, crm) is not switched off.
    on_started: told of (org_id, crm, session_id) when a session was opened.
    on_schedule: told that a schedule may have been made.
    """

    look: Look
    switched_on: Callable[[str, str], Awaitable[bool]]
    on_started: Callable[[str, str, UUID], None]
    on_schedule: Callable[[], None]


@dataclass(frozen=True, slots=True)
class LeadService(lead_service_pb2_grpc.LeadServiceServicer):
    """Keeps leads; what their CRM tells is asked for by inquiries, or by a session's run."""

    database: Database
    inquiries: Inquiries
    helm: Helm

    @override
    async def GetLeadStats(
        self, request: pb.GetLeadStatsRequest, context: Context
    ) -> pb.GetLeadStatsResponse:
        """Tell how the leads at a CRM stand; see the contract."""
        crm, org_id = request.crm or messages.TRADING, current_caller().org_id
        self.inquiries.crms.find(crm)
        async with self.database.org(org_id) as connection:
            totals = await lead.totals(connection, org_id, crm)
            counts = await lead.counts(connection, org_id, crm)
        return pb.GetLeadStatsResponse(stats=messages.stats_of(crm, totals, counts))

    @override
    async def SyncLead(self, request: pb.SyncLeadRequest, context: Context) -> pb.SyncLeadResponse:
        """Ask a CRM about one lead; see the contract."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await lead.get(connection, org_id, request.lead_id)
        leads = await self._leads(row.crm, "SyncLead")
        updated = await self.inquiries.answered(
            (row.crm, "SyncLead"), self.helm.look(org_id, row, leads)
        )
        if updated is None:
            raise LeadNotAtCrmError(row.id, row.crm)
        async with self.database.org(org_id) as connection:
            row = await lead.get(connection, org_id, request.lead_id)
        return pb.SyncLeadResponse(lead=messages.message_of(row), updated=updated)

    @override
    async def SyncRecentLeads(
        self, request: pb.SyncRecentLeadsRequest, context: Context
    ) -> pb.SyncRecentLeadsResponse:
        """Open a session about the leads of the last days; see the contract."""
        caller, crm = current_caller(), request.crm or messages.TRADING
        await self._leads(crm, "SyncRecentLeads")
        opened: list[UUID] = []

        async def work(connection: AsyncConnection) -> pb.SyncRecentLeadsResponse:
            session_id = await lead_session.open(
                connection,
                caller.org_id,
                crm,
                days=request.days or _DAYS,
                creator=caller.subject,
            )
            opened.append(session_id)
            row = await session.get(connection, caller.org_id, session_id)
            return pb.SyncRecentLeadsResponse(session=sync_messages.session(row))

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.SyncRecentLeadsResponse, work)
        for session_id in opened:
            self.helm.on_started(caller.org_id, crm, session_id)
        return response

    @override
    async def RegisterLead(
        self, request: pb.RegisterLeadRequest, context: Context
    ) -> pb.RegisterLeadResponse:
        """Hand a signup to a CRM, once; see the contract."""
        signup = messages.signup_of(request.lead)

        async def work() -> pb.RegisterLeadResponse:
            leads = await self._leads(signup.crm, "RegisterLead")
            return await Registration(self.database, self.inquiries).run(signup, leads)

        self.inquiries.crms.find(signup.crm)
        response = await once_elsewhere(self.database, request, pb.RegisterLeadResponse, work)
        self.helm.on_schedule()
        return response

    @override
    async def GetLead(self, request: pb.GetLeadRequest, context: Context) -> pb.GetLeadResponse:
        """Return a lead; see the contract."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await lead.get(connection, org_id, request.lead_id)
        return pb.GetLeadResponse(lead=messages.message_of(row))

    @override
    async def ListLeads(
        self, request: pb.ListLeadsRequest, context: Context
    ) -> pb.ListLeadsResponse:
        """List leads, newest first; see the contract."""
        if request.crm:
            self.inquiries.crms.find(request.crm)
        org_id, size = current_caller().org_id, page_size(request.page_size)
        before = _place(cursor_of(request))
        async with self.database.org(org_id) as connection:
            rows = await lead.list(
                connection, org_id, messages.filter_of(request), size=size + 1, before=before
            )
        page, more = rows[:size], len(rows) > size
        after = [page[-1].create_time.isoformat(), page[-1].id] if more else []
        return pb.ListLeadsResponse(
            leads=[messages.message_of(row) for row in page],
            next_page_token=page_token(request, after) if more else "",
        )

    @override
    async def ListLeadHistory(
        self, request: pb.ListLeadHistoryRequest, context: Context
    ) -> pb.ListLeadHistoryResponse:
        """List every change of a lead, newest first; see the contract."""
        org_id, size = current_caller().org_id, page_size(request.page_size)
        before = _sequence(cursor_of(request))
        async with self.database.org(org_id) as connection:
            await lead.get(connection, org_id, request.lead_id)
            rows = await lead.history(
                connection, org_id, request.lead_id, size=size + 1, before=before
            )
        page, more = rows[:size], len(rows) > size
        return pb.ListLeadHistoryResponse(
            changes=[messages.change_of(row) for row in page],
            next_page_token=page_token(request, [str(page[-1].sequence)]) if more else "",
        )

    async def _leads(self, crm: str, method: str) -> Leads:
        """Return the leads of the caller's account at a CRM.

        Raises:
            UnknownCrmError, CrmDisabledError, ConnectionMisconfiguredError: there is no such CRM,
                or it cannot be used.
            NotSupportedError: it keeps no leads.
        """
        stored = await self.inquiries.stored(crm)
        if not await self.helm.switched_on(current_caller().org_id, crm):
            raise CrmDisabledError(crm)
        leads = leads_of(stored.adapter)
        if leads is None:
            raise NotSupportedError(crm, method)
        return leads


def _place(cursor: Sequence[str] | None) -> Place | None:
    if cursor is None:
        return None
    try:
        time, lead_id = cursor
        return Place(datetime.fromisoformat(time), lead_id)
    except ValueError as error:
        raise InvalidPageTokenError from error


def _sequence(cursor: Sequence[str] | None) -> int | None:
    try:
        return int(cursor[0]) if cursor else None
    except ValueError as error:
        raise InvalidPageTokenError from error
