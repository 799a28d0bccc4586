"""What a StartSession asks for, and the session that it opens."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import session_pb2
from crmsync.v1.session_service_pb2 import IncrementalSync, StartSessionRequest
from crmsync_server.errors import (
    InvalidRequestError,
    NotSupportedError,
    PlanNotReadyError,
    SessionNotFoundError,
    Violation,
)
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.convert import moment_of
from crmsync_server.rpc.crms import CONTACTS
from crmsync_server.store import manual, plan, queue, run, session
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import Direction, SessionKind, SessionState

_KINDS = {
    "full": SessionKind.FULL_SYNC,
    "incremental": SessionKind.INCREMENTAL_SYNC,
    "manual": SessionKind.MANUAL_SYNC,
}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class Reach(Protocol):
    """How a CRM can be synchronized with, as one organization has it."""

    @property
    def readable(self) -> bool:
        """Whether it can be read."""

    @property
    def requires_email(self) -> bool:
        """Whether it cannot hold a contact without an email."""

    @property
    def takes_contacts(self) -> bool:
        """Whether contacts can be delivered to it at all."""

    @property
    def salt(self) -> bytes:
        """What it gets besides a contact's content; see store.queue."""


Reaches = Callable[[str, str], Awaitable[Reach]]
"""Tells of (org_id, crm); raises CrmDisabledError."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A StartSession that breaks no rule.

    task: what the run is told; see sync.run. plan_id: of the plan to apply.
    """

    crm: str
    kind: SessionKind
    direction: Direction
    dry_run: bool
    exclusive: bool
    task: Mapping[str, Any]
    plan_id: UUID | None = None

    @property
    def reads(self) -> bool:
        """Whether a server has work with it besides queueing."""
        return self.direction is not Direction.PUSH or self.dry_run


def asked_of(request: StartSessionRequest, max_share: float) -> Asked:
    """Read what is asked for; max_share: what holds where the request says nothing.

    Raises:
        InvalidRequestError: it contradicts itself, or asks for nothing.
    """
    if broken := [*_of_plan(request), *_of_manual(request)]:
        raise InvalidRequestError(broken)
    scope = request.WhichOneof("scope") or ""
    share = request.max_deletion_share if request.HasField("max_deletion_share") else max_share
    task: dict[str, Any] = {"max_share": share}
    if scope == "manual":
        task |= _manual(request)
    if scope == "incremental" and request.incremental.HasField("since"):
        task["since"] = _since(request.incremental).isoformat()
    return Asked(
        crm=request.crm,
        kind=_KINDS.get(scope, SessionKind.FULL_SYNC),
        direction=direction_of(request.direction),
        dry_run=request.dry_run,
        exclusive=not (request.allow_parallel or request.dry_run),
        task=task,
        plan_id=UUID(request.apply.session_id) if scope == "apply" else None,
    )


def direction_of(value: session_pb2.SyncDirection.ValueType) -> Direction:
    """Read a direction; unset is PUSH."""
    name = session_pb2.SyncDirection.Name(value or session_pb2.SYNC_DIRECTION_PUSH)
    return Direction(name.removeprefix("SYNC_DIRECTION_"))


def _since(asked: IncrementalSync) -> datetime:
    since = moment_of("incremental.since", asked.since)
    if since < _FIRST:
        # Sources begin a little earlier still, and no CRM knows of such a time.
        told = "must not be before 1970; unset reads from where the last reading ended"
        raise InvalidRequestError([Violation("incremental.since", "incremental.since", told)])
    return since


def _manual(request: StartSessionRequest) -> Mapping[str, Any]:
    return {
        "contact_ids": sorted({str(UUID(one)) for one in request.manual.contact_ids}),
        "crm_contact_ids": sorted(set(request.manual.crm_contact_ids)),
        "force": request.manual.force,
    }


def _of_plan(request: StartSessionRequest) -> Sequence[Violation]:
    if request.WhichOneof("scope") != "apply":
        return ()
    told = "must be unset where a plan is applied: the plan says it"
    fields = ("direction", "dry_run")
    return [Violation(name, "apply.alone", told) for name in fields if getattr(request, name)]


def _of_manual(request: StartSessionRequest) -> Sequence[Violation]:
    manual_ones = request.manual
    if request.WhichOneof("scope") != "manual":
        return ()
    if not (manual_ones.contact_ids or manual_ones.crm_contact_ids):
        told = "must hold at least one id of a contact, or of a record at the CRM"
        return [Violation("manual", "manual.some", told)]
    return ()


async def open_session(connection: AsyncConnection, asked: Asked, reach: Reach) -> sa.Row[Any]:
    """Open the session that is asked for, and return it; what only queues is queued at once.

    Raises:
        NotSupportedError, SessionActiveError, PlanNotReadyError, SessionNotFoundError.
    """
    caller, session_id = current_caller(), new_id()
    if asked.plan_id is not None:
        asked = await _planned(connection, asked, session_id)
    if asked.direction is not Direction.PULL and not reach.takes_contacts:
        raise NotSupportedError(asked.crm, CONTACTS)
    if asked.direction is not Direction.PUSH and not reach.readable:
        raise NotSupportedError(asked.crm, "StartSession with PULL or BOTH")
    opening = session.Opening(
        session_id=session_id,
        kind=asked.kind,
        crm=asked.crm,
        creator=caller.subject,
        direction=asked.direction,
        dry_run=asked.dry_run,
        exclusive=asked.exclusive,
    )
    await session.open(connection, caller.org_id, opening)
    await _note_missing(connection, asked, session_id)
    if asked.reads or "plan" in asked.task:
        await run.insert(connection, caller.org_id, session_id, asked.crm, asked.task)
        return await session.get(connection, caller.org_id, session_id)
    await _queue(connection, asked, session_id, reach)
    return await session.filled(connection, caller.org_id, session_id)


async def _planned(connection: AsyncConnection, asked: Asked, session_id: UUID) -> Asked:
    """Return what a plan asks for, and note that it is being applied."""
    org_id, plan_id = current_caller().org_id, asked.plan_id
    if plan_id is None:
        return asked
    row = await plan.lock(connection, org_id, plan_id)
    if row is None or row.crm != asked.crm:
        raise SessionNotFoundError(str(plan_id))
    if why := _not_ready(row):
        raise PlanNotReadyError(str(plan_id), why)
    await plan.keep(connection, org_id, plan_id, {"applied_by": str(session_id)})
    task = {**asked.task, "plan": str(plan_id), "terms": row.plan["terms"]}
    return Asked(
        crm=row.crm,
        kind=SessionKind(row.kind),
        direction=Direction(row.direction),
        dry_run=False,
        exclusive=asked.exclusive,
        task=task,
    )


def _not_ready(row: sa.Row[Any]) -> str:
    if not row.dry_run:
        return "NOT_A_DRY_RUN"
    if row.state != SessionState.SUCCEEDED or not row.plan:
        return "NOT_SUCCEEDED"
    if row.expired:
        return "EXPIRED"
    return "APPLIED" if row.applied else ""


async def _note_missing(connection: AsyncConnection, asked: Asked, session_id: UUID) -> None:
    """Note contacts that do not exist, and of what is only queued the records that nobody has."""
    org_id, contact_ids = current_caller().org_id, asked.task.get("contact_ids", ())
    known = await queue.refusals(connection, org_id, [UUID(one) for one in contact_ids])
    missing: dict[str, UUID | None] = {
        one: UUID(one) for one in contact_ids if UUID(one) not in known
    }
    if asked.direction is Direction.PUSH:
        keys = asked.task.get("crm_contact_ids", ())
        owners = await manual.owners(connection, org_id, asked.crm, keys)
        missing |= {key: None for key in keys if key not in owners}
    await manual.missing(connection, org_id, session_id, missing)


async def _queue(connection: AsyncConnection, asked: Asked, session_id: UUID, reach: Reach) -> None:
    org_id, contact_ids = current_caller().org_id, None
    if asked.kind is SessionKind.MANUAL_SYNC:
        keys = asked.task.get("crm_contact_ids", ())
        owners = await manual.owners(connection, org_id, asked.crm, keys)
        named = {UUID(one) for one in asked.task.get("contact_ids", ())}
        contact_ids = sorted(named | set(owners.values()))
    selection = queue.Selection(
        contact_ids=contact_ids,
        requires_email=reach.requires_email,
        changed_only=asked.kind is SessionKind.INCREMENTAL_SYNC,
        salt=reach.salt,
    )
    order = queue.Order(
        asked.crm,
        session_id,
        asked.kind,
        current_caller().subject,
        force=bool(asked.task.get("force")),
    )
    await queue.enqueue(connection, org_id, selection, order)
