"""Runs: what servers do page by page for a session, each by one of them at a time.

Whoever claims a run holds its lease and its fence. Every page is one transaction that moves the
run's cursor first, and only while the fence is still its own: a server that was given up for dead,
or whose session was paused or cancelled meanwhile, writes nothing more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement
from crmsync_server.store.states import Phase

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run stands after a page.

    phase, cursor: what comes next. pages: how many were stored by this step.
    expected: how many records the CRM says will come; None leaves what is known.
    rest: how long until the next page is there.
    """

    phase: Phase
    cursor: Document
    pages: int = 1
    expected: int | None = None
    rest: timedelta = timedelta(0)
    since: datetime | None = None
    until_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Which run is held: fence tells this holding from any other."""

    org_id: str
    session_id: UUID
    fence: int


async def insert(
    connection: AsyncConnection, org_id: str, session_id: UUID, crm: str, task: Document
) -> None:
    """Add a run for a session; it is due at once."""
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "crm": crm,
        "phase": Phase.PREPARE,
        "task": json.dumps(task),
    }
    await connection.execute(statement("run/insert"), parameters)


async def claim(
    connection: AsyncConnection, *, owner: str, lease: timedelta, size: int
) -> Sequence[sa.Row[Any]]:
    """Claim due runs, of any organization, whose sessions go on; with their sessions' columns."""
    parameters = {"owner": owner, "lease": lease, "size": size}
    return (await connection.execute(statement("run/claim"), parameters)).all()


async def next_due(connection: AsyncConnection) -> float | None:
    """Return in how many seconds a run is due, of any organization; None when there is none."""
    seconds = await connection.scalar(statement("run/next_due"))
    return None if seconds is None else float(seconds)


async def advance(connection: AsyncConnection, hold: Hold, step: Step, *, lease: timedelta) -> bool:
    """Move a run on, before what its page brings is written in this transaction.

    False when it is not held any more, or its session does not go on: then nothing may be written.
    """
    parameters = {
        **_held(hold),
        "phase": step.phase,
        "cursor": json.dumps(step.cursor),
        "pages": step.pages,
        "rest": step.rest,
        "since": step.since,
        "until_time": step.until_time,
        "expected": step.expected,
        "lease": lease,
    }
    return await connection.scalar(statement("run/advance"), parameters) is not None


async def renew(connection: AsyncConnection, hold: Hold, *, lease: timedelta) -> bool:
    """Prolong the lease of a run; False when it is not held any more."""
    parameters = {**_held(hold), "lease": lease}
    return await connection.scalar(statement("run/renew"), parameters) is not None


async def wait(
    connection: AsyncConnection,
    hold: Hold,
    *,
    rest: timedelta,
    code: str | None = None,
    message: str | None = None,
    failed: bool = False,
) -> bool:
    """Let a run rest for a while, and let go of it; False when it was not held any more.

    failed: whether a fault is the reason; it is counted until the next page.
    """
    parameters = {
        **_held(hold),
        "rest": rest,
        "code": code,
        "message": message,
        "failed": failed,
    }
    return await connection.scalar(statement("run/wait"), parameters) is not None


async def end(connection: AsyncConnection, hold: Hold) -> bool:
    """Remove a run that has nothing more to do.

    False when it was not held any more, or its session does not go on.
    """
    return await connection.scalar(statement("run/end"), _held(hold)) is not None


async def drop(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Remove a session's run, whoever holds it; its page under way ends first."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("run/drop"), parameters)


async def suspend(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Take a session's run from whoever holds it, for what follows in this transaction."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("run/suspend"), parameters)


async def get(
    connection: AsyncConnection, keys: Sequence[tuple[str, UUID]]
) -> Sequence[sa.Row[Any]]:
    """Return the runs of these sessions (organization, id); those without one are left out."""
    parameters = {
        "org_ids": [org_id for org_id, _ in keys],
        "session_ids": [session_id for _, session_id in keys],
    }
    return (await connection.execute(statement("run/get"), parameters)).all()


def _held(hold: Hold) -> dict[str, Any]:
    return {"org_id": hold.org_id, "session_id": hold.session_id, "fence": hold.fence}
