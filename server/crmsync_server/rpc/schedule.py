"""Schedules: rows as messages, and the plans that requests ask for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import schedule_pb2
from crmsync.v1.admin_service_pb2 import UpdateScheduleRequest
from crmsync.v1.contact_sync_pb2 import Priority
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync.v1.session_pb2 import SyncDirection
from crmsync_server.crm.adapter import Capabilities
from crmsync_server.errors import InvalidRequestError, NotSupportedError, Violation
from crmsync_server.rpc.contact_rules import is_uuid
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.crms import CONTACTS
from crmsync_server.rpc.session_start import direction_of
from crmsync_server.store.schedule import Plan
from crmsync_server.store.schedule_action import (
    Action,
    AnyAction,
    SyncAction,
    SyncRecentLeadsAction,
    action_of,
)
from crmsync_server.store.timetable import Timetable, TimetableError

_ACTIONS = ("queue_all", "sync", "sync_recent_leads")
_DAYS = 7
_WRITABLE = ("display_name", "cron", "time_zone", *_ACTIONS, "enabled")
_UTC = "UTC"


def message_of(row: sa.Row[Any]) -> schedule_pb2.Schedule:
    """Turn a row of schedules into its message."""
    action = action_of(row.action)
    return schedule_pb2.Schedule(
        id=str(row.id),
        display_name=row.display_name,
        cron=row.cron,
        time_zone=row.time_zone,
        queue_all=_queue_all(row.crm, action) if isinstance(action, Action) else None,
        sync=_sync(row.crm, action) if isinstance(action, SyncAction) else None,
        sync_recent_leads=_leads(row.crm, action)
        if isinstance(action, SyncRecentLeadsAction)
        else None,
        enabled=row.enabled,
        last_run_time=timestamp(row.last_run_time),
        last_session_id=str(row.last_session_id or ""),
        last_error=row.last_error or "",
        next_run_time=timestamp(row.next_run_time),
        version=row.version,
        creator=row.creator,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def plan_of(given: schedule_pb2.Schedule) -> Plan:
    """Return the plan of a schedule that is to be created; raises InvalidRequestError."""
    return _checked(_plan(given), given)


def changed(row: sa.Row[Any], request: UpdateScheduleRequest) -> Plan:
    """Return the plan of a schedule after an update; raises InvalidRequestError."""
    given, asked = request.schedule, _plan(request.schedule)
    present = {field.name for field, _ in given.ListFields()}
    named = list(request.update_mask.paths) or [path for path in _WRITABLE if path in present]
    plan = Plan.of(row)
    acting = any(name in _ACTIONS for name in named)
    if acting:
        plan = replace(plan, crm=asked.crm, action=asked.action)
    values = {name: getattr(asked, name) for name in named if name not in _ACTIONS}
    return _checked(replace(plan, **values), given if acting else None)


def refuse_unfit(plan: Plan, able: Capabilities | None) -> None:
    """Raise NotSupportedError where the CRM cannot do what a plan says.

    able: what the CRM can do; None when that is not known, for want of credentials.
    """
    if able is None:
        return
    if isinstance(plan.action, SyncRecentLeadsAction):
        if not able.keeps_leads:
            raise NotSupportedError(plan.crm, "sync_recent_leads")
    elif not able.takes_contacts:
        raise NotSupportedError(plan.crm, CONTACTS)


def refuse_invalid(request: UpdateScheduleRequest) -> None:
    """Raise InvalidRequestError when the update names no schedule, or what cannot be changed."""
    if broken := list(_of_update(request)):
        raise InvalidRequestError(broken)


def _of_update(request: UpdateScheduleRequest) -> Iterator[Violation]:
    if not is_uuid(request.schedule.id):
        yield Violation("schedule.id", "string.uuid", "must be a valid UUID")
    told = f"must be one of {', '.join(_WRITABLE)}"
    for place, path in enumerate(request.update_mask.paths):
        if path not in _WRITABLE:
            yield Violation(f"update_mask.paths[{place}]", "field_mask.writable", told)


def _plan(given: schedule_pb2.Schedule) -> Plan:
    return Plan(
        display_name=given.display_name,
        cron=given.cron,
        time_zone=given.time_zone or _UTC,
        crm=crm_of(given),
        action=_action_of(given),
        enabled=given.enabled if given.HasField("enabled") else True,
    )


def crm_of(given: schedule_pb2.Schedule) -> str:
    """Return the CRM that an action names; empty where there is none."""
    match given.WhichOneof("action"):
        case "sync":
            return given.sync.crm
        case "sync_recent_leads":
            return given.sync_recent_leads.crm
    return given.queue_all.crm


def _checked(plan: Plan, acting: schedule_pb2.Schedule | None) -> Plan:
    """Return a plan that is valid; raises InvalidRequestError or InvalidFilterError.

    acting: the message that its action comes from; None when that is what it was.
    """
    broken = []
    if acting is not None and acting.WhichOneof("action") is None:
        broken.append(Violation("schedule.action", "required", "must be set"))
    try:
        Timetable.of(plan.cron, plan.time_zone)
    except TimetableError as error:
        path = f"schedule.{error.field}"
        broken.append(Violation(path, f"schedule.{error.field}", error.description))
    if broken:
        raise InvalidRequestError(broken)
    plan.action.condition()
    return plan


def _queue_all(crm: str, action: Action) -> schedule_pb2.QueueAllAction:
    told = schedule_pb2.QueueAllAction(
        crm=crm,
        priority=Priority.PRIORITY_HIGH if action.high else Priority.PRIORITY_NORMAL,
        force=action.force,
    )
    chosen = QueueFilter(
        has_email=action.has_email,
        not_already_synced=action.not_already_synced,
        domain_id=action.domain_id,
        filter=action.filter,
    )
    if chosen.ListFields():
        told.filter.CopyFrom(chosen)
    return told


def _sync(crm: str, action: SyncAction) -> schedule_pb2.SyncAction:
    direction = SyncDirection.Value(f"SYNC_DIRECTION_{action.direction}")
    return schedule_pb2.SyncAction(crm=crm, full=action.full, direction=direction)


def _leads(crm: str, action: SyncRecentLeadsAction) -> schedule_pb2.SyncRecentLeadsAction:
    return schedule_pb2.SyncRecentLeadsAction(crm=crm, days=action.days)


def _action_of(given: schedule_pb2.Schedule) -> AnyAction:
    if given.HasField("sync_recent_leads"):
        return SyncRecentLeadsAction(given.sync_recent_leads.days or _DAYS)
    if given.HasField("sync"):
        return SyncAction(given.sync.full, direction_of(given.sync.direction))
    return _queueing(given.queue_all)


def _queueing(given: schedule_pb2.QueueAllAction) -> Action:
    chosen = given.filter
    return Action(
        has_email=chosen.has_email if chosen.HasField("has_email") else None,
        not_already_synced=chosen.not_already_synced,
        domain_id=chosen.domain_id,
        filter=chosen.filter,
        high=given.priority == Priority.PRIORITY_HIGH,
        force=given.force,
    )
