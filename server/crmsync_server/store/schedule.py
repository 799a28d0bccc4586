"""Schedules: work that is begun at set times."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ScheduleNotFoundError, VersionMismatchError
from crmsync_server.store.ids import new_id
from crmsync_server.store.schedule_action import Action, AnyAction, SyncAction, action_of
from crmsync_server.store.statements import statement
from crmsync_server.store.timetable import Timetable

__all__ = ["Action", "AnyAction", "Plan", "SyncAction"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a caller decides of a schedule.

    cron, time_zone: a valid Timetable.
    """

    display_name: str
    cron: str
    time_zone: str
    crm: str
    action: AnyAction
    enabled: bool

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        """Return the plan that a row of schedules holds."""
        return cls(
            display_name=row.display_name,
            cron=row.cron,
            time_zone=row.time_zone,
            crm=row.crm,
            action=action_of(row.action),
            enabled=row.enabled,
        )

    def next_run_time(self, now: datetime) -> datetime | None:
        """Return when it runs next, later than now; None while it is not enabled."""
        return Timetable.of(self.cron, self.time_zone).after(now) if self.enabled else None


async def create(
    connection: AsyncConnection, org_id: str, plan: Plan, *, creator: str, now: datetime
) -> sa.Row[Any]:
    """Keep a schedule and return it."""
    parameters = {"org_id": org_id, "id": new_id(), "creator": creator, **_values(plan, now)}
    return (await connection.execute(statement("schedule/create"), parameters)).one()


async def count(connection: AsyncConnection, org_id: str) -> int:
    """Count an organization's schedules."""
    counted = await connection.execute(statement("schedule/count"), {"org_id": org_id})
    return int(counted.scalar_one())


async def reserve(connection: AsyncConnection, org_id: str) -> None:
    """Make whoever else reserves, to add a schedule, wait until this transaction ends."""
    await connection.execute(statement("schedule/reserve"), {"org_id": org_id})


async def get(connection: AsyncConnection, org_id: str, schedule_id: UUID) -> sa.Row[Any]:
    """Return a schedule; raises ScheduleNotFoundError."""
    parameters = {"org_id": org_id, "schedule_id": schedule_id}
    row = (await connection.execute(statement("schedule/get"), parameters)).one_or_none()
    if row is None:
        raise ScheduleNotFoundError(str(schedule_id))
    return row


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    *,
    size: int,
    crm: str | None = None,
    before_id: UUID | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of schedules, newest first, older than before_id."""
    parameters = {"org_id": org_id, "crm": crm, "before_id": before_id, "size": size}
    return (await connection.execute(statement("schedule/list"), parameters)).all()


async def lock(connection: AsyncConnection, org_id: str, schedule_id: UUID) -> sa.Row[Any]:
    """Return a schedule, locked for this transaction, and now by the database's clock.

    Raises:
        ScheduleNotFoundError: the organization has none of this id.
    """
    parameters = {"org_id": org_id, "schedule_id": schedule_id}
    row = (await connection.execute(statement("schedule/lock"), parameters)).one_or_none()
    if row is None:
        raise ScheduleNotFoundError(str(schedule_id))
    return row


async def update(
    connection: AsyncConnection, org_id: str, before: sa.Row[Any], plan: Plan, *, version: int = 0
) -> sa.Row[Any]:
    """Give a locked schedule another plan and return it; its next run is found anew.

    version: which version the change is meant for; 0 means any.

    Raises:
        VersionMismatchError: the schedule is at another version.
    """
    if version not in {0, before.version}:
        raise VersionMismatchError(before.version)
    parameters = {"org_id": org_id, "schedule_id": before.id, **_values(plan, before.now)}
    return (await connection.execute(statement("schedule/update"), parameters)).one()


async def delete(connection: AsyncConnection, org_id: str, schedule_id: UUID) -> None:
    """Forget a schedule; raises ScheduleNotFoundError."""
    parameters = {"org_id": org_id, "schedule_id": schedule_id}
    if not (await connection.execute(statement("schedule/delete"), parameters)).rowcount:
        raise ScheduleNotFoundError(str(schedule_id))


async def due(connection: AsyncConnection, *, size: int) -> Sequence[sa.Row[Any]]:
    """Return the next schedules of any organization: org_id, id, wait_seconds until it is due."""
    return (await connection.execute(statement("schedule/due"), {"size": size})).all()


async def claim(connection: AsyncConnection, org_id: str, schedule_id: UUID) -> sa.Row[Any] | None:
    """Take a schedule that is due, for this transaction; None when somebody else has or had it."""
    parameters = {"org_id": org_id, "schedule_id": schedule_id}
    return (await connection.execute(statement("schedule/claim"), parameters)).one_or_none()


async def run(
    connection: AsyncConnection, org_id: str, row: sa.Row[Any], *, requires_email: bool
) -> UUID:
    """Do what a locked schedule says; return the session, which its run is then to record."""
    action = action_of(row.action)
    return await action.run(connection, org_id, row, requires_email=requires_email)


async def ran(
    connection: AsyncConnection,
    org_id: str,
    row: sa.Row[Any],
    *,
    session_id: UUID | None = None,
    error: str | None = None,
    next_run_time: datetime | None,
) -> None:
    """Write down how a locked schedule ran, either its session or its error, and when it runs next.

    In the transaction that queued the work: a crash then neither loses a run nor doubles it.
    """
    parameters = {
        "org_id": org_id,
        "schedule_id": row.id,
        "session_id": session_id,
        "error": error,
        "next_run_time": next_run_time,
    }
    await connection.execute(statement("schedule/ran"), parameters)


def _values(plan: Plan, now: datetime) -> dict[str, object]:
    return {
        "display_name": plan.display_name,
        "cron": plan.cron,
        "time_zone": plan.time_zone,
        "crm": plan.crm,
        "action": json.dumps(plan.action.document()),
        "enabled": plan.enabled,
        "next_run_time": plan.next_run_time(now),
    }
