"""The measuring sticks of the drain: bare SQL, pgqueuer and procrastinate, all with no-op jobs.

They keep a queue and nothing else: no standing of a contact, no session with its items, no history
by attempt, no counts. Payloads are what a job needs to find its contact.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector

from benchmarks.postgres import Database, Postgres
from crmsync_server.store.ids import new_ids

_ENTRYPOINT = "deliver"


async def bare(server: Postgres, count: int, batch: int, workers: int) -> float:
    """Claim and complete by two hand-written statements; return records per second."""
    async with server.database() as place, asyncpg.create_pool(place.url, min_size=workers) as pool:
        await pool.execute(_BARE_TABLE)
        rows = [(id_,) for id_ in new_ids(count)]
        await pool.copy_records_to_table("bare", records=rows, columns=["id"])
        await place.settle()
        started = time.perf_counter()
        await asyncio.gather(*(_bare_worker(pool, batch) for _ in range(workers)))
        return count / (time.perf_counter() - started)


_BARE_TABLE = """
CREATE TABLE bare (
  id uuid PRIMARY KEY,
  status text NOT NULL DEFAULT 'QUEUED',
  due_time timestamptz NOT NULL DEFAULT now(),
  attempt integer NOT NULL DEFAULT 0,
  lease_until timestamptz
) WITH (fillfactor = 80);
CREATE INDEX bare_queue_idx ON bare (due_time, id) WHERE status = 'QUEUED';
"""

_BARE_CLAIM = """
UPDATE bare SET
  status = 'PROCESSING', attempt = attempt + 1, lease_until = now() + interval '5 minutes'
WHERE id = ANY(ARRAY(
  SELECT id FROM bare
  WHERE status = 'QUEUED' AND due_time <= now()
  ORDER BY due_time, id
  LIMIT $1
  FOR UPDATE SKIP LOCKED
))
RETURNING id
"""

_BARE_COMPLETE = """
UPDATE bare SET status = 'COMPLETE', lease_until = NULL
WHERE id = ANY($1::uuid[]) AND status = 'PROCESSING'
"""


async def _bare_worker(pool: asyncpg.Pool, batch: int) -> None:
    async with pool.acquire() as connection:
        while claimed := await connection.fetch(_BARE_CLAIM, batch):
            await connection.execute(_BARE_COMPLETE, [row["id"] for row in claimed])


async def pgqueuer(server: Postgres, count: int, batch: int, managers: int) -> float:
    """Run pgqueuer's queue managers, durable and tuned as its manual says; return jobs per second.

    The manual asks for large batches where jobs are short, one asyncpg connection for each
    manager, and its own autovacuum settings.
    """
    async with server.database() as place:
        await _fill_pgqueuer(place, count)
        await place.settle()
        connections = [await asyncpg.connect(place.url) for _ in range(managers)]
        running = [QueueManager(Queries(AsyncpgDriver(one))) for one in connections]
        left = _Countdown(count, running)
        for manager in running:
            manager.entrypoint(_ENTRYPOINT)(left.job)
        started = time.perf_counter()
        await asyncio.gather(*(manager.run(batch_size=batch) for manager in running))
        elapsed = time.perf_counter() - started
        for connection in connections:
            await connection.close()
        return count / elapsed


class _Countdown:
    """Counts jobs, and ends the managers after the last one."""

    def __init__(self, count: int, managers: Sequence[QueueManager]) -> None:
        self._left = count
        self._managers = managers

    async def job(self, _job: Job) -> None:
        self._left -= 1
        if not self._left:
            for manager in self._managers:
                manager.shutdown.set()


async def _fill_pgqueuer(place: Database, count: int) -> None:
    connection = await asyncpg.connect(place.url)
    try:
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        payloads: list[bytes | None] = [_payload(id_) for id_ in new_ids(count)]
        await queries.enqueue([_ENTRYPOINT] * count, payloads, [0] * count)
    finally:
        await connection.close()


def _payload(contact_id: UUID) -> bytes:
    return json.dumps({"contact_id": str(contact_id), "crm": "noop"}).encode()


async def procrastinate(server: Postgres, count: int, concurrency: int) -> float:
    """Run one procrastinate worker until its queue is empty; return jobs per second."""
    async with server.database() as place:
        app = App(connector=PsycopgConnector(conninfo=place.url, max_size=concurrency))

        @app.task(name=_ENTRYPOINT)
        async def deliver(contact_id: str, crm: str) -> None:
            """Do nothing."""

        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            await deliver.batch_defer_async(*(json.loads(_payload(id_)) for id_ in new_ids(count)))
            await place.settle()
            started = time.perf_counter()
            await app.run_worker_async(
                concurrency=concurrency, wait=False, install_signal_handlers=False
            )
            return count / (time.perf_counter() - started)
