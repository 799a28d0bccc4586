"""Whether GetSyncStats costs the same at a million contact syncs as at ten thousand."""

import asyncio
import statistics
import time

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from benchmarks.figures import Bar, Figure, say
from benchmarks.service import Service, client
from crmsync.v1.sync_service_pb2 import GetSyncStatsRequest
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.tokens import DEFAULT_ORG

_FEW, _MANY = "mautic", "n8n"  # CRMs that no other benchmark uses
_COUNTS = {_FEW: 10_000, _MANY: 1_000_000}
_CALLERS = 8
_ROUNDS = 5
_SECONDS = 2.0

# A hundred are being delivered: those are counted, all else is kept up.
_FILL = """
WITH made AS (
    INSERT INTO contact_syncs (
        org_id, contact_id, crm, sync_status, processing_status, attempt, claimed_version,
        lease_until
    )
    SELECT
        $1, gen_random_uuid(), $2,
        CASE WHEN n < 100 THEN 'PROCESSING' ELSE 'COMPLETE' END,
        CASE WHEN n < 100 THEN 'PROCESSING' ELSE 'COMPLETE' END,
        1,
        CASE WHEN n < 100 THEN 1 END,
        CASE WHEN n < 100 THEN now() + interval '1 day' END
    FROM generate_series(1, $3::integer) AS n
    RETURNING sync_status
)
INSERT INTO sync_counts (org_id, crm, slot, open, complete)
SELECT
    $1, $2, 0,
    count(*) FILTER (WHERE sync_status = 'PROCESSING'),
    count(*) FILTER (WHERE sync_status = 'COMPLETE')
FROM made
"""


async def measure(service: Service, scale: float) -> list[Figure]:
    """Call it for one CRM with few and for one with many contact syncs, in turn."""
    counts = {crm: max(1_000, int(count * scale)) for crm, count in _COUNTS.items()}
    await _fill(service, counts)
    seconds = max(0.3, _SECONDS * scale)
    found: dict[str, list[float]] = {crm: [] for crm in counts}
    async with client(service) as caller:
        for _ in range(_ROUNDS):
            for crm, count in counts.items():
                found[crm].append(await _milliseconds(caller, crm, count, seconds))
    few, many = (statistics.median(found[crm]) for crm in (_FEW, _MANY))
    say(f"  few {few:.2f} ms, many {many:.2f} ms")
    return [
        Figure(f"GetSyncStats at {counts[_FEW]:,} contact syncs, p50", few, "ms"),
        Figure(f"GetSyncStats at {counts[_MANY]:,} contact syncs, p50", many, "ms"),
        Figure("GetSyncStats, many over few", many / few, bar=Bar(1.5, most=True)),
    ]


async def _fill(service: Service, counts: dict[str, int]) -> None:
    connection = await asyncpg.connect(service.database.admin_url)
    try:
        for crm, count in counts.items():
            await connection.execute(_FILL, DEFAULT_ORG, crm, count)
    finally:
        await connection.close()
    await service.database.settle()


async def _milliseconds(caller: CrmsyncClient, crm: str, count: int, seconds: float) -> float:
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def calling() -> None:
        while (asked := time.perf_counter()) < until:
            answer = await caller.sync.GetSyncStats(GetSyncStatsRequest(crm=crm))
            latencies.append(time.perf_counter() - asked)
            if answer.stats.total_contacts != count:
                message = f"{answer.stats.total_contacts} of {count} contact syncs were counted"
                raise RuntimeError(message)

    await asyncio.gather(*(calling() for _ in range(_CALLERS)))
    return statistics.median(latencies) * 1000
