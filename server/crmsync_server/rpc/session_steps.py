"""Starting, pausing and resuming sessions, and looking whether one would go well."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import session_service_pb2 as pb
from crmsync_server.errors import SessionEndedError
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.once import once
from crmsync_server.rpc.session_checks import Checks
from crmsync_server.rpc.session_pull import Besides
from crmsync_server.rpc.session_start import Reaches, asked_of, direction_of, open_session
from crmsync_server.store import config, session
from crmsync_server.store.db import Database
from crmsync_server.store.states import Direction, SessionState


@dataclass(frozen=True, slots=True)
class Moves:
    """Who is told after a commit.

    started: of (org_id, crm, session_id), when a session was opened or goes on.
    stopped: of (org_id, session_id), when one was paused.
    two_ways: of (org_id, crm), when a CRM is read for the first time.
    """

    started: Callable[[str, str, UUID], None]
    stopped: Callable[[str, UUID], None]
    two_ways: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Steps:
    """What SessionService does with sessions besides showing them.

    max_deletion_share: what holds where a request says nothing.
    """

    database: Database
    crms: Crms
    reaches: Reaches
    moves: Moves
    checks: Checks
    max_deletion_share: float = 0.2

    async def start(self, request: pb.StartSessionRequest) -> pb.StartSessionResponse:
        """Open a session; raises what `session_start` raises, and UnknownCrmError."""
        org_id = current_caller().org_id
        self.crms.find(request.crm)
        asked = asked_of(request, self.max_deletion_share)
        reach = await self.reaches(org_id, request.crm)
        opened: list[sa.Row[Any]] = []

        async def work(connection: AsyncConnection) -> pb.StartSessionResponse:
            row = await open_session(connection, asked, reach)
            opened.append(row)
            await _go_two_ways(connection, row)
            besides = Besides(())
            return pb.StartSessionResponse(session=besides.show(row, messages.session(row)))

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.StartSessionResponse, work)
        for row in opened:
            self._tell(row)
        return response

    async def validate(self, request: pb.ValidateSessionRequest) -> pb.ValidateSessionResponse:
        """Make every check; raises UnknownCrmError."""
        self.crms.find(request.crm)
        checks = await self.checks.made(request.crm, direction_of(request.direction))
        failed = pb.SESSION_CHECK_RESULT_FAILED
        valid = all(check.result != failed for check in checks)
        return pb.ValidateSessionResponse(valid=valid, checks=checks)

    async def pause(self, session_id: str) -> sa.Row[Any]:
        """Pause a session and return it; raises SessionNotFoundError or SessionEndedError."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await session.pause(connection, org_id, UUID(session_id))
        if row.state != SessionState.PAUSED:
            raise SessionEndedError(session_id, row.state)
        self.moves.stopped(org_id, row.id)
        return row

    async def resume(self, session_id: str) -> sa.Row[Any]:
        """Let a session go on and return it; raises SessionNotFoundError or SessionEndedError."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await session.resume(connection, org_id, UUID(session_id))
        if row.state != SessionState.RUNNING:
            raise SessionEndedError(session_id, row.state)
        self.moves.started(org_id, row.crm, row.id)
        return row

    def _tell(self, row: sa.Row[Any]) -> None:
        self.moves.started(row.org_id, row.crm, row.id)
        if row.direction != Direction.PUSH:
            self.moves.two_ways(row.org_id, row.crm)


async def _go_two_ways(connection: AsyncConnection, row: sa.Row[Any]) -> None:
    # Before the first page: deliveries from now on write down what they agree on.
    if row.direction != Direction.PUSH:
        await config.go_two_ways(connection, row.org_id, row.crm)
