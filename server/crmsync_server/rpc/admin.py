"""AdminService: configure and steer deliveries, and keep schedules."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import admin_service_pb2 as pb
from crmsync.v1 import admin_service_pb2_grpc, crm_config_pb2
from crmsync_server.crm.adapter import Capabilities
from crmsync_server.errors import InvalidPageTokenError, TooManyItemsError
from crmsync_server.rpc import crm_config as configs
from crmsync_server.rpc import schedule as schedules
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, page_size, page_token
from crmsync_server.store import config, lane, lead_schedule, schedule, session
from crmsync_server.store.db import Database

_SCHEDULES = "schedules"
_MOST_SCHEDULES = 100


@dataclass(frozen=True, slots=True)
class Crew:
    """What AdminService asks of the rest of the server, and tells it.

    able: what (org_id, crm) can do; None without credentials.
    requires_email: whether the CRM of (org_id, crm) needs contacts to have an email; raises
        CrmDisabledError when it takes no work.
    on_config: told of (org_id, crm) after a change of its configuration.
    on_queued: told of (org_id, crm) when deliveries may be due.
    on_schedule: told that a schedule changed.
    """

    able: Callable[[str, str], Awaitable[Capabilities | None]]
    requires_email: Callable[[str, str], Awaitable[bool]]
    on_config: Callable[[str, str], None]
    on_queued: Callable[[str, str], None]
    on_schedule: Callable[[], None]


@dataclass(frozen=True, slots=True)
class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Writes down what admins decide; the engine and the schedules' duty act on it."""

    database: Database
    crms: Crms
    crew: Crew
    defaults: configs.Defaults
    clock: Callable[[], datetime]

    @override
    async def GetCrmConfig(
        self, request: pb.GetCrmConfigRequest, context: Context
    ) -> pb.GetCrmConfigResponse:
        """Tell how deliveries to CRMs are configured; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        asked = [request.crm] if request.crm else self.crms.known
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            rows = await config.list(connection, org_id, asked)
            limits = await config.limits(connection, org_id, asked)
        told = {}
        for row in rows:
            able = await self.crew.able(org_id, row.crm)
            told[row.crm] = configs.message_of(row, able, self.defaults, limits)
        return pb.GetCrmConfigResponse(configs=told)

    @override
    async def UpdateCrmConfig(
        self, request: pb.UpdateCrmConfigRequest, context: Context
    ) -> pb.UpdateCrmConfigResponse:
        """Change how deliveries to a CRM are configured; see the contract."""
        crm, org_id = request.config.crm, current_caller().org_id
        self.crms.find(crm)
        able = await self.crew.able(org_id, crm)
        change, version = configs.change_of(request, able), request.config.version

        async def work(connection: AsyncConnection) -> pb.UpdateCrmConfigResponse:
            await config.update(connection, org_id, crm, change, version)
            if able is not None and able.keeps_leads:
                await lead_schedule.make(connection, org_id, crm)
            return pb.UpdateCrmConfigResponse(config=await self._config(connection, crm, able))

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.UpdateCrmConfigResponse, work)
        self.crew.on_config(org_id, crm)
        return response

    @override
    async def PauseCrm(self, request: pb.PauseCrmRequest, context: Context) -> pb.PauseCrmResponse:
        """Stop the deliveries to a CRM; see the contract."""
        caller, crm = current_caller(), request.crm
        self.crms.find(crm)
        able = await self.crew.able(caller.org_id, crm)
        async with self.database.org(caller.org_id) as connection:
            await config.pause(
                connection, caller.org_id, crm, pauser=caller.subject, reason=request.reason
            )
            return pb.PauseCrmResponse(config=await self._config(connection, crm, able))

    @override
    async def ResumeCrm(
        self, request: pb.ResumeCrmRequest, context: Context
    ) -> pb.ResumeCrmResponse:
        """Let the deliveries to a CRM go on; see the contract."""
        crm, org_id = request.crm, current_caller().org_id
        self.crms.find(crm)
        able = await self.crew.able(org_id, crm)
        async with self.database.org(org_id) as connection:
            await lane.resume(connection, org_id, crm)
            response = pb.ResumeCrmResponse(config=await self._config(connection, crm, able))
        self.crew.on_queued(org_id, crm)
        return response

    @override
    async def CreateSchedule(
        self, request: pb.CreateScheduleRequest, context: Context
    ) -> pb.CreateScheduleResponse:
        """Create a schedule; see the contract."""
        caller, plan = current_caller(), schedules.plan_of(request.schedule)
        self.crms.find(plan.crm)
        schedules.refuse_unfit(plan, await self.crew.able(caller.org_id, plan.crm))

        async def work(connection: AsyncConnection) -> pb.CreateScheduleResponse:
            await schedule.reserve(connection, caller.org_id)
            if (count := await schedule.count(connection, caller.org_id)) >= _MOST_SCHEDULES:
                raise TooManyItemsError(_SCHEDULES, _MOST_SCHEDULES, count + 1)
            row = await schedule.create(
                connection, caller.org_id, plan, creator=caller.subject, now=self.clock()
            )
            return pb.CreateScheduleResponse(schedule=schedules.message_of(row))

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.CreateScheduleResponse, work)
        self.crew.on_schedule()
        return response

    @override
    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        """List schedules, newest first; see the contract."""
        if request.crm:
            self.crms.find(request.crm)
        org_id, size, before_id = (
            current_caller().org_id,
            page_size(request.page_size),
            _before_id(cursor_of(request)),
        )
        async with self.database.org(org_id) as connection:
            rows = await schedule.list(
                connection, org_id, size=size + 1, crm=request.crm or None, before_id=before_id
            )
        page, more = rows[:size], len(rows) > size
        return pb.ListSchedulesResponse(
            schedules=[schedules.message_of(row) for row in page],
            next_page_token=page_token(request, [str(page[-1].id)]) if more else "",
        )

    @override
    async def UpdateSchedule(
        self, request: pb.UpdateScheduleRequest, context: Context
    ) -> pb.UpdateScheduleResponse:
        """Change a schedule; see the contract."""
        schedules.refuse_invalid(request)
        org_id, schedule_id = current_caller().org_id, UUID(request.schedule.id)
        crm = schedules.crm_of(request.schedule)
        able = await self.crew.able(org_id, crm) if crm in self.crms.known else None

        async def work(connection: AsyncConnection) -> pb.UpdateScheduleResponse:
            before = await schedule.lock(connection, org_id, schedule_id)
            plan = schedules.changed(before, request)
            self.crms.find(plan.crm)
            schedules.refuse_unfit(plan, able if plan.crm == crm else None)
            row = await schedule.update(
                connection, org_id, before, plan, version=request.schedule.version
            )
            return pb.UpdateScheduleResponse(schedule=schedules.message_of(row))

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.UpdateScheduleResponse, work)
        self.crew.on_schedule()
        return response

    @override
    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, context: Context
    ) -> pb.DeleteScheduleResponse:
        """Delete a schedule; see the contract."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            await schedule.delete(connection, org_id, UUID(request.schedule_id))
        return pb.DeleteScheduleResponse()

    @override
    async def RunSchedule(
        self, request: pb.RunScheduleRequest, context: Context
    ) -> pb.RunScheduleResponse:
        """Run a schedule at once; see the contract."""
        org_id, schedule_id = current_caller().org_id, UUID(request.schedule_id)
        async with self.database.org(org_id) as connection:
            crm = (await schedule.get(connection, org_id, schedule_id)).crm
        # Not within the transaction below: asking may need a connection of its own.
        requires_email = await self.crew.requires_email(org_id, crm)

        async def work(connection: AsyncConnection) -> pb.RunScheduleResponse:
            row = await schedule.lock(connection, org_id, schedule_id)
            session_id = await schedule.run(connection, org_id, row, requires_email=requires_email)
            await schedule.ran(
                connection, org_id, row, session_id=session_id, next_run_time=row.next_run_time
            )
            opened = await session.get(connection, org_id, session_id)
            return pb.RunScheduleResponse(session=messages.session(opened))

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.RunScheduleResponse, work)
        self.crew.on_queued(org_id, crm)
        return response

    async def _config(
        self, connection: AsyncConnection, crm: str, able: Capabilities | None
    ) -> crm_config_pb2.CrmConfig:
        org_id = current_caller().org_id
        [row] = await config.list(connection, org_id, [crm])
        limits = await config.limits(connection, org_id, [crm])
        return configs.message_of(row, able, self.defaults, limits)


def _before_id(cursor: Sequence[str] | None) -> UUID | None:
    try:
        return UUID(cursor[0]) if cursor else None
    except ValueError as error:
        raise InvalidPageTokenError from error
