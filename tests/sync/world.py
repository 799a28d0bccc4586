"""What the state machine works on: a database, what it says, and attempts as workers see them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from crmsync_server.store import queue
from crmsync_server.store.claimed import Claimed
from crmsync_server.store.db import Database
from crmsync_server.sync.verdict import LEAST_WAIT, RetryPolicy, judge, release
from tests.sync.model import Key

Result = TypeVar("Result")

POLICY = RetryPolicy(max_retries=1, max_rescues=1, jitter=lambda: 0.0)


@dataclass(frozen=True)
class Claim:
    """One attempt, as the worker that claimed it remembers it."""

    key: Key
    row: Claimed

    @property
    def attempt(self) -> int:
        """Return the attempt's number."""
        number: int = self.row.attempt
        return number

    @property
    def lane(self) -> tuple[str, str]:
        """Return the organization and the CRM."""
        org_id, _, crm = self.key
        return org_id, crm


@dataclass
class World:
    """One database for all examples, and the loop that its connections live in."""

    runner: asyncio.Runner
    database: Database

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end."""
        return self.runner.run(coroutine)

    def statement(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Run one statement of the test's own."""

        async def work(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
            result = await connection.execute(sa.text(text), parameters)
            return result.all() if result.returns_rows else ()

        return self.transaction(work)

    def transaction(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, Result]]) -> Result:
        """Run in one transaction over all organizations."""

        async def whole() -> Result:
            async with self.database.everyone() as connection:
                return await work(connection)

        return self.run(whole())


@dataclass(frozen=True)
class Snapshot:
    """What Postgres says."""

    standings: dict[Key, sa.Row[Any]] = field(default_factory=dict)
    items: dict[tuple[UUID, Key], str | None] = field(default_factory=dict)
    sessions: dict[UUID, sa.Row[Any]] = field(default_factory=dict)


async def snapshot(connection: AsyncConnection) -> Snapshot:
    """Read everything."""
    standings = await connection.execute(sa.text("SELECT * FROM contact_syncs"))
    items = await connection.execute(sa.text("SELECT * FROM session_items"))
    sessions = await connection.execute(sa.text("SELECT * FROM sessions"))
    return Snapshot(
        {(row.org_id, row.contact_id, row.crm): row for row in standings},
        {(row.session_id, (row.org_id, row.contact_id, row.crm)): row.outcome for row in items},
        {row.id: row for row in sessions},
    )


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def finished(one: Claim, ending: str, *, soon: bool) -> queue.Finished:
    """Return how an attempt ends, at once or, where it matters, in an hour."""
    if ending == "released":
        return release(one.row, _when(soon=soon), "RELEASED", "the server stops")
    outcome = _outcome(ending, _when(soon=soon))
    # A moment ago, so that what is postponed until now is due now.
    judged = _when(soon=soon) - LEAST_WAIT
    return judge(one.row, outcome, POLICY, judged, idempotent=True)


def _when(*, soon: bool) -> datetime:
    return now() if soon else now() + timedelta(hours=1)


def _outcome(ending: str, when: datetime) -> Outcome:
    outcomes: dict[str, Outcome] = {
        "synced": Synced("1"),
        "rejected": Rejected("VALIDATION_ERROR", "no"),
        "retry": Retry("HTTP_503", "later", after=when),
        "postponed": Postponed(when, "RATE_LIMIT"),
        "refused": Postponed(when, "CREDENTIALS_REFUSED"),
        "unknown": Unknown("no answer"),
        "skipped": Skipped(SkipReason.UNCHANGED),
    }
    return outcomes[ending]
