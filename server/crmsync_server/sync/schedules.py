"""The schedules' duty: queues what is due, on one replica at a time."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1.error_reason_pb2 import ErrorReason
from crmsync_server.errors import CrmsyncError
from crmsync_server.store import schedule
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty

_log = structlog.get_logger()

_POLL_INTERVAL = 5.0  # seconds until a schedule that another replica changed is seen
_LOOK_AHEAD = 100

RequiresEmail = Callable[[str, str], Awaitable[bool]]
"""Tells of (org_id, crm) whether contacts need an email; raises CrmsyncError when it is off."""


class Schedules:
    """Runs the schedules of all organizations.

    Each run is one transaction: the schedule is taken, its work queued, its next time written. A
    crash at any point leaves all of it done or nothing. What was missed is run once, whereupon the
    next time is one that lies ahead.
    """

    def __init__(
        self,
        database: Database,
        requires_email: RequiresEmail,
        on_queued: Callable[[str, str], None],
        poll_interval: float = _POLL_INTERVAL,
    ) -> None:
        """Prepare; on_queued is told of (org_id, crm) after each commit that queued something."""
        self._database = database
        self._requires_email = requires_email
        self._on_queued = on_queued
        self._poll_interval = poll_interval
        self._duty = Duty("schedules", self.turn)

    def start(self) -> None:
        """Begin with what is due now."""
        self._duty.start()

    def wake(self) -> None:
        """Look at the schedules now: one of them changed."""
        self._duty.wake()

    async def stop(self) -> None:
        """Run nothing more; a run under way is undone, and somebody else's to do."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Run what is due; return the seconds until the next look."""
        async with self._database.everyone() as connection:
            found = await schedule.due(connection, size=_LOOK_AHEAD)
        due = [row for row in found if not row.wait_seconds]
        ran = [await self._run(row.org_id, row.id) for row in due]
        if any(ran) and len(due) == _LOOK_AHEAD:
            return 0
        waits = (float(row.wait_seconds) for row in found if row.wait_seconds)
        return min([self._poll_interval, *waits])

    async def _run(self, org_id: str, schedule_id: UUID) -> bool:
        """Run one schedule, whatever happens to the others; tell whether it moved on."""
        try:
            return await self._run_once(org_id, schedule_id)
        except Exception:  # noqa: BLE001 - one schedule's fault must not stop all the others
            # It is due still, and tried again.
            _log.exception("a schedule was not run", org_id=org_id, schedule_id=str(schedule_id))
            return False

    async def _run_once(self, org_id: str, schedule_id: UUID) -> bool:
        async with self._database.org(org_id) as connection:
            row = await schedule.claim(connection, org_id, schedule_id)
            if row is None:
                return False
            later = schedule.Plan.of(row).next_run_time(row.now)
            session_id, error = await self._queue(connection, row)
            await schedule.ran(
                connection, org_id, row, session_id=session_id, error=error, next_run_time=later
            )
        if session_id is not None:
            self._on_queued(org_id, row.crm)
        return True

    async def _queue(
        self, connection: AsyncConnection, row: sa.Row[Any]
    ) -> tuple[UUID | None, str | None]:
        """Return the session, or why there is none."""
        try:
            requires_email = await self._requires_email(row.org_id, row.crm)
            session_id = await schedule.run(
                connection, row.org_id, row, requires_email=requires_email
            )
        except CrmsyncError as refusal:
            reason = ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
            _log.warning(
                "a schedule queued nothing",
                org_id=row.org_id,
                schedule_id=str(row.id),
                reason=reason,
            )
            return None, reason
        return session_id, None
