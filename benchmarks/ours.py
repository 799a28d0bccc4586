"""crmsync's side of the drain: the real engine, with an adapter that only says yes."""

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa

from benchmarks import postgres
from benchmarks.people import people
from crmsync_server.crm.adapter import Capabilities, Delivery, Standing
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.store import invariants, partitions, queue
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id, new_ids
from crmsync_server.store.migrations import migrate
from crmsync_server.store.notify import Notifier
from crmsync_server.store.states import SessionKind
from crmsync_server.sync.engine import Engine
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.lane import Bench
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.verdict import RetryPolicy

ORG = "bench"
CRM = "noop"
BATCH = 1000  # the fastest of 100, 200, 500 and 1,000; pgqueuer has the best of the same
_POLL = 5.0
_GRACE = 10.0
_PATIENCE = 600.0


class NoOp:
    """An adapter whose CRM takes no time and refuses nothing."""

    def __init__(self, concurrency: int) -> None:
        """Allow so many pushes at once."""
        self.capabilities = Capabilities(
            max_batch=BATCH,
            concurrency=concurrency,
            requires_email=True,
            idempotent=True,
            push_timeout=timedelta(seconds=30),
        )

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Confirm every delivery."""
        return [Synced(f"noop-{one.contact_id.hex[-12:]}") for one in batch]

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Confirm every delivery; no ticket is ever given."""
        return await self.push(batch) if ticket else []

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Hold nothing that could be read."""
        return [None] * len(batch)

    async def check(self) -> Standing:
        """Accept any credentials."""
        return Standing(valid=True, message="")


class _Ended(Hints):
    """Hints that also tell when the one session has ended."""

    def __init__(self, notifier: Notifier) -> None:
        super().__init__(notifier, lambda _hint: None, lambda _hint: None)
        self.event = asyncio.Event()

    def moved(self, org_id: str, receipt: queue.Receipt) -> None:
        super().moved(org_id, receipt)
        if receipt.ended_ids:
            self.event.set()


async def drain(server: postgres.Postgres, count: int, concurrency: int) -> float:
    """Deliver so many contact syncs of one session; return records per second.

    Timed from the engine's start to the commit that ends the session.

    Raises:
        RuntimeError: the account does not balance afterwards; such a rate would mean nothing.
        TimeoutError: the session did not end.
    """
    async with server.database() as place:
        await fill(place, count)
        database = Database(place.url)
        try:
            await _queue_all(database, count)
            await place.settle()
            elapsed = await _run(database, concurrency)
            await _balance(database, count)
            return count / elapsed
        finally:
            await database.close()


async def fill(place: postgres.Database, count: int) -> None:
    """Migrate, and store so many contacts."""
    await migrate(place.url)
    connection = await asyncpg.connect(place.admin_url)
    try:
        await connection.copy_records_to_table(
            "contacts", records=_rows(new_ids(count)), columns=_COLUMNS
        )
    finally:
        await connection.close()


_COLUMNS = (
    *("org_id", "id", "email", "name", "first_name", "last_name", "phone", "company", "tags"),
    *("properties", "content_hash"),
)


def _rows(ids: Sequence[UUID]) -> list[tuple[object, ...]]:
    return [
        (
            ORG,
            id_,
            one.email,
            f"{one.first_name} {one.last_name}",
            one.first_name,
            one.last_name,
            one.phone,
            one.company,
            one.tags,
            json.dumps(one.properties),
            hashlib.sha256(one.email.encode()).digest(),
        )
        for id_, one in zip(ids, people(len(ids)), strict=True)
    ]


async def _queue_all(database: Database, count: int) -> None:
    order = queue.Order(CRM, new_id(), SessionKind.QUEUE_ALL_CONTACTS, "benchmark")
    async with database.everyone() as connection:
        await partitions.keep(connection, datetime.now(UTC).date(), timedelta(days=90))
    async with database.org(ORG) as connection:
        queued, _ = await queue.enqueue(connection, ORG, queue.Selection(), order)
    if queued != count:
        message = f"queued {queued} of {count} contacts"
        raise RuntimeError(message)


async def _balance(database: Database, count: int) -> None:
    async with database.everyone() as connection:
        broken = await invariants.violations(connection)
        synced = await connection.scalar(sa.text("SELECT sum(synced) FROM sessions"))
    if broken or synced != count:
        message = f"{synced} of {count} contacts are synced; broken promises: {broken}"
        raise RuntimeError(message)


async def _run(database: Database, concurrency: int) -> float:
    adapter = NoOp(concurrency)
    notifier = Notifier(database)
    hints = _Ended(notifier)
    bench = Bench(
        database=database,
        hints=hints,
        policy=RetryPolicy(),
        clock=lambda: datetime.now(UTC),
        owner="benchmark",
        lease=timedelta(minutes=5),
    )
    deliverer = Deliverer(adapter)

    async def deliver_all(_org_id: str, _crm: str) -> Deliverer:
        return deliverer

    engine = Engine(database, deliver_all, bench, _POLL)
    await notifier.start()
    started = time.perf_counter()
    engine.start()
    async with asyncio.timeout(_PATIENCE):
        await hints.event.wait()
    elapsed = time.perf_counter() - started
    await engine.stop(_GRACE)
    await notifier.stop()
    return elapsed
