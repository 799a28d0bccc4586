"""A lane or an engine at work on the test's database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.store import queue, session
from crmsync_server.store.db import Database
from crmsync_server.store.notify import Notifier
from crmsync_server.sync.engine import Engine
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.lane import Bench, Lane
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.verdict import RetryPolicy
from tests.store import people
from tests.store.people import CRM, ORG
from tests.sync.adapters import Scripted


def now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


async def harmless(_org_id: str, _crm: str) -> bool:
    """Tell that the CRM may be given anything twice."""
    return True


@dataclass
class Shop:
    """A database with its hints written down.

    hinted: sessions of which the engine said that they moved.
    looked: how often the engine asked how a lane is delivered.
    """

    database: Database
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(jitter=lambda: 0.0))
    hinted: list[str | None] = field(default_factory=list)
    lease: timedelta = timedelta(minutes=1)
    looked: int = 0

    @property
    def bench(self) -> Bench:
        """Return what lanes work with."""
        hints = Hints(Notifier(self.database), lambda _: None, self.hinted.append)
        return Bench(self.database, hints, self.policy, now, "tests", self.lease)

    def lane(self, adapter: Scripted, org_id: str = ORG) -> Lane:
        """Return a lane that delivers through this adapter."""
        return Lane(org_id, CRM, Deliverer(adapter), self.bench)

    @asynccontextmanager
    async def engine(
        self,
        adapters: Mapping[tuple[str, str], Scripted],
        configs: Mapping[str, LaneConfig] | None = None,
    ) -> AsyncIterator[Engine]:
        """Run an engine over these adapters, by organization and CRM; configs by organization."""

        async def deliverer(org_id: str, crm: str) -> Deliverer | None:
            self.looked += 1
            adapter = adapters.get((org_id, crm))
            config = (configs or {}).get(org_id, LaneConfig())
            return None if adapter is None else Deliverer(adapter, config)

        engine = Engine(self.database, deliverer, self.bench, 0.05)
        engine.start()
        try:
            yield engine
        finally:
            await engine.stop(0)

    async def stock(
        self, count: int = 1, org_id: str = ORG, crm: str = CRM
    ) -> tuple[list[UUID], UUID]:
        """Add contacts and queue them; return them and the session."""
        ids = await people.populate(self.database, count, org_id)
        return ids, await self.enqueue(ids, people.order(crm), org_id)

    async def enqueue(self, ids: Sequence[UUID], order: queue.Order, org_id: str = ORG) -> UUID:
        """Queue contacts."""
        async with self.database.org(org_id) as connection:
            return await people.enqueue(connection, ids, order, org_id)

    async def edit(self, contact_id: UUID, text: str) -> None:
        """Change a contact."""
        async with self.database.org(ORG) as connection:
            await people.edit(connection, ORG, contact_id, text)

    async def session(self, session_id: UUID, org_id: str = ORG) -> sa.Row[Any]:
        """Return a session."""
        async with self.database.org(org_id) as connection:
            return await session.get(connection, org_id, session_id)

    async def standing(self, contact_id: UUID) -> sa.Row[Any]:
        """Return how a contact stands."""
        [row] = await self.rows("SELECT * FROM contact_syncs WHERE contact_id = :id", id=contact_id)
        return row

    async def outcomes(self) -> list[str]:
        """Return the outcomes of all attempts, as the history has them."""
        rows = await self.rows("SELECT outcome FROM sync_attempts ORDER BY contact_id, attempt")
        return [row.outcome for row in rows]

    async def make_due(self) -> None:
        """Let the time pass that something waits for: retries, pauses and tickets."""
        await self.rows("UPDATE contact_syncs SET due_time = now() WHERE due_time > now()")
        await self.rows("UPDATE lanes SET paused_until = now() WHERE paused_until > now()")
        await self.rows("UPDATE tickets SET check_time = now()")

    async def rows(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Run a statement of the test's own."""
        async with self.database.everyone() as connection:
            result = await connection.execute(sa.text(text), parameters)
            return result.all() if result.returns_rows else ()
