"""Many at once over the same few contacts: no deadlock, and every promise kept."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import failure, queue, session, standing
from crmsync_server.store import ticket as tickets
from crmsync_server.store.claimed import Attempt
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.store import people
from tests.store.people import CRM, ORG

_TASKS = 8
_TURNS = 60


class Visitor:
    """One of the crowd: does whatever comes to its mind, over and over."""

    def __init__(self, database: Database, ids: Sequence[UUID], seed: int) -> None:
        """Choose at random, but the same with the same seed."""
        self._database = database
        self._most = max(6, len(ids) // 4)
        self._ids = ids
        self._random = random.Random(seed)  # noqa: S311 - chooses what to test
        self._rows: list[Attempt] = []
        self._sessions: list[UUID] = []
        self._tickets = 0
        self._seed = seed

    async def visit(self) -> None:
        """Take all turns."""
        ways: Sequence[Callable[[AsyncConnection], Awaitable[None]]] = (
            self._enqueue,
            self._enqueue_all,
            self._claim,
            self._claim,
            self._finish,
            self._finish,
            self._hold,
            self._renew,
            self._rescue,
            self._cancel,
            self._cancel_contact,
            self._retry,
            self._edit,
        )
        for _ in range(_TURNS):
            way = self._random.choice(ways)
            # As servers do, always: a connection uses the plan that it has kept in either kind.
            finishes = way in {self._finish, self._rescue}
            async with self._database.org(ORG, by_index=finishes) as connection:
                await way(connection)

    def _some(self) -> list[UUID]:
        return self._random.sample(self._ids, self._random.randint(1, len(self._ids)))

    async def _enqueue(self, connection: AsyncConnection) -> None:
        high = self._random.random() < 0.3
        order = people.order(high=high)
        self._sessions.append(await people.enqueue(connection, self._some(), order))

    async def _enqueue_all(self, connection: AsyncConnection) -> None:
        order = people.order()
        await queue.enqueue(connection, ORG, queue.Selection(), order)
        self._sessions.append(order.session_id)

    async def _claim(self, connection: AsyncConnection) -> None:
        self._rows += await people.claim(connection, self._random.randint(1, self._most))

    async def _finish(self, connection: AsyncConnection) -> None:
        self._random.shuffle(self._rows)
        batch, self._rows = self._rows[: self._most], self._rows[self._most :]
        if batch:
            await queue.finish(connection, ORG, CRM, [self._ended(row) for row in batch])

    async def _hold(self, connection: AsyncConnection) -> None:
        self._random.shuffle(self._rows)
        self._tickets += 1
        ticket = tickets.Ticket(f"{self._seed}/{self._tickets}", _now(), timedelta(hours=6))
        await tickets.hold(connection, ORG, CRM, self._under_way(), ticket)

    async def _renew(self, connection: AsyncConnection) -> None:
        self._random.shuffle(self._rows)
        await queue.renew(connection, ORG, CRM, self._under_way(), people.LEASE)

    async def _rescue(self, connection: AsyncConnection) -> None:
        mine = [row.contact_id for row in self._rows[:2]]
        await queue.lock(connection, ORG, CRM, mine)
        await connection.execute(
            sa.text(
                "UPDATE contact_syncs SET lease_until = now() - interval '1 second'"
                " WHERE contact_id = ANY(:ids) AND lease_until IS NOT NULL"
            ),
            {"ids": mine},
        )
        expired = await queue.lock_expired(connection, ORG, CRM, size=5)
        if expired:
            outcome = AttemptOutcome.LEASE_EXPIRED
            ended = [_ended(row, SyncStatus.QUEUED, outcome) for row in expired]
            await queue.finish(connection, ORG, CRM, ended)

    async def _cancel(self, connection: AsyncConnection) -> None:
        if self._sessions:
            await session.cancel(connection, ORG, self._random.choice(self._sessions))

    async def _cancel_contact(self, connection: AsyncConnection) -> None:
        await standing.cancel(connection, ORG, self._random.choice(self._ids), CRM)

    async def _retry(self, connection: AsyncConnection) -> None:
        order = people.order()
        await failure.retry(connection, ORG, failure.Retry(waits=None), order)
        self._sessions.append(order.session_id)

    async def _edit(self, connection: AsyncConnection) -> None:
        contact_id, text = self._random.choice(self._ids), str(self._random.random())
        await people.edit(connection, ORG, contact_id, text)

    def _under_way(self) -> list[tuple[UUID, int]]:
        return [(row.contact_id, row.attempt) for row in self._rows]

    def _ended(self, row: Attempt) -> queue.Finished:
        return _ended(
            row,
            *self._random.choice(
                (
                    (SyncStatus.COMPLETE, AttemptOutcome.SYNCED),
                    (SyncStatus.ERROR, AttemptOutcome.REJECTED),
                    (SyncStatus.QUEUED, AttemptOutcome.RETRY),
                )
            ),
        )


def _ended(row: Attempt, status: SyncStatus, outcome: AttemptOutcome) -> queue.Finished:
    return queue.Finished(
        row.contact_id,
        row.attempt,
        status,
        outcome,
        due_time=_now(),
        crm_contact_id="1",
        error_code="CODE",
    )


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.slow
@pytest.mark.parametrize("contacts", [12, 300])
async def test_a_crowd_neither_deadlocks_nor_breaks_a_promise(
    database: Database, contacts: int
) -> None:
    """Callers, workers and rescuers over a few contacts, in each other's way all the time.

    With some hundreds, and once they are analyzed, the planner would rather read whole tables, in
    whatever order they lie.
    """
    ids = await people.populate(database, contacts)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, random.sample(ids, contacts), people.order())
    async with database.everyone() as connection:
        await connection.execute(sa.text("ANALYZE"))
    async with asyncio.TaskGroup() as group:
        for seed in range(_TASKS):
            group.create_task(Visitor(database, ids, seed).visit())
    async with database.everyone() as connection:
        assert not await violations(connection)
        attempts = await connection.scalar(sa.text("SELECT count(*) FROM sync_attempts"))
        deadlocks = await connection.scalar(
            sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
    assert attempts > 30
    assert deadlocks == 0
