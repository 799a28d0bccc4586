"""What sessions that read show besides: how far the reading is, and what a dry run found."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import contact_sync_pb2, session_pb2
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.sync_messages import pulled
from crmsync_server.store import run
from crmsync_server.store.states import Direction, Phase, SessionState

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

_PHASES = {
    Phase.PREPARE: session_pb2.PULL_PHASE_PREPARING,
    Phase.READ: session_pb2.PULL_PHASE_READING,
    Phase.FETCH: session_pb2.PULL_PHASE_READING,
    Phase.SWEEP: session_pb2.PULL_PHASE_SWEEPING,
    Phase.QUEUE: session_pb2.PULL_PHASE_QUEUEING,
    Phase.VERIFY: session_pb2.PULL_PHASE_VERIFYING,
    Phase.APPLY: session_pb2.PULL_PHASE_APPLYING,
}
_PLAN_LIFE = timedelta(days=7)


class Besides:
    """What is read besides the rows of sessions, for all of them at once."""

    def __init__(self, runs: Sequence[sa.Row[Any]]) -> None:
        """Take the runs that there are."""
        self._runs = {(row.org_id, row.session_id): row for row in runs}

    @classmethod
    async def of(cls, rows: Sequence[sa.Row[Any]], transaction: Transaction) -> "Besides":
        """Read what these sessions need; most need nothing, and then nothing is asked."""
        reading = [(row.org_id, row.id) for row in rows if row.pulling]
        if not reading:
            return cls(())
        async with transaction() as connection:
            return cls(await run.get(connection, reading))

    def show(self, row: sa.Row[Any], told: session_pb2.Session) -> session_pb2.Session:
        """Add to a session's message what its row does not say."""
        key = (row.org_id, row.id)
        if row.direction != Direction.PUSH or row.pulling:
            told.pull.CopyFrom(_pull(row, self._runs.get(key)))
        if _has_plan(row):
            told.plan.CopyFrom(_plan(row))
        return told


def _has_plan(row: sa.Row[Any]) -> bool:
    return bool(row.dry_run) and row.state == SessionState.SUCCEEDED


def _pull(row: sa.Row[Any], running: sa.Row[Any] | None) -> session_pb2.PullProgress:
    told = session_pb2.PullProgress(
        read=pulled(row),
        created=row.pulled_created,
        updated=row.pulled_updated,
        unchanged=row.pulled_unchanged,
        conflicts=row.pulled_conflicts,
        deleted=row.pulled_deleted,
        skipped=row.pulled_skipped,
        errors=row.pulled_errors,
        expected=row.expected,
        pages=row.pages,
        since=timestamp(row.since),
    )
    if running is not None:
        told.phase = _PHASES[Phase(running.phase)]
        if running.wait_code is not None:
            told.waiting.CopyFrom(_waiting(running))
            told.next_page_time.FromDatetime(running.due_time)
    return told


def _waiting(running: sa.Row[Any]) -> contact_sync_pb2.SyncError:
    return contact_sync_pb2.SyncError(code=running.wait_code, message=running.wait_message or "")


def _plan(row: sa.Row[Any]) -> session_pb2.SyncPlan:
    facts = row.plan or {}
    counts = facts.get("counts", {})
    return session_pb2.SyncPlan(
        contacts_created=counts.get("PULL CREATED", 0),
        contacts_updated=counts.get("PULL UPDATED", 0),
        unchanged=counts.get("PULL UNCHANGED", 0),
        conflicts=counts.get("PULL CONFLICT", 0),
        contacts_deleted=counts.get("PULL DELETED", 0),
        records_created=counts.get("PUSH CREATED", 0),
        records_updated=counts.get("PUSH UPDATED", 0),
        calls_needed=facts.get("calls", 0),
        daily_share=facts.get("daily_share", 0.0),
        expire_time=timestamp(row.end_time + _PLAN_LIFE),
    )
