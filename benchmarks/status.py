"""How fast GetContactSyncStatus answers, beside an empty echo between the same two processes."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import grpc.aio

from benchmarks.echo import METHOD
from benchmarks.figures import Figure, say
from benchmarks.service import Service, client
from crmsync.v1.sync_service_pb2 import GetContactSyncStatusRequest

_CALLERS = 32
_ROUNDS = 3
_SECONDS = 4.0
_CONTACTS = 10_000

Call = Callable[[GetContactSyncStatusRequest], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Trial:
    """Calls per second, and the seconds of every call."""

    rate: float
    latencies: Sequence[float]


async def measure(service: Service, echo_address: str, scale: float) -> list[Figure]:
    """Call both for as long, in turn, with 32 concurrent callers."""
    seconds = max(0.5, _SECONDS * scale)
    requests = await _requests(service)
    async with (
        client(service) as caller,
        grpc.aio.insecure_channel(echo_address) as channel,
    ):
        echo = channel.unary_unary(
            METHOD,
            request_serializer=GetContactSyncStatusRequest.SerializeToString,
            response_deserializer=GetContactSyncStatusRequest.FromString,
        )
        await _trial(caller.sync.GetContactSyncStatus, requests, seconds / 4)
        await _trial(echo, requests, seconds / 4)
        statuses, echoes = [], []
        for _ in range(_ROUNDS):
            statuses.append(await _trial(caller.sync.GetContactSyncStatus, requests, seconds))
            echoes.append(await _trial(echo, requests, seconds))
            say(f"  status {statuses[-1].rate:,.0f}/s, echo {echoes[-1].rate:,.0f}/s")
    ratio = f"{_rate(statuses) / _rate(echoes):.2f} of the echo"
    return [*_rows("GetContactSyncStatus", statuses, ratio), *_rows("empty echo", echoes)]


def _rate(trials: Sequence[_Trial]) -> float:
    return statistics.median(trial.rate for trial in trials)


def _rows(name: str, trials: Sequence[_Trial], ratio: str = "") -> list[Figure]:
    latencies = [latency for trial in trials for latency in trial.latencies]
    percentiles = statistics.quantiles(latencies, n=100)
    return [
        Figure(f"{name}, {_CALLERS} callers", _rate(trials), "calls/s", ratio=ratio),
        Figure(f"{name}, p50", percentiles[49] * 1000, "ms"),
        Figure(f"{name}, p99", percentiles[98] * 1000, "ms"),
    ]


async def _trial(
    call: Call, requests: Sequence[GetContactSyncStatusRequest], seconds: float
) -> _Trial:
    latencies: list[float] = []
    started = time.perf_counter()
    until = started + seconds

    async def caller() -> None:
        while (asked := time.perf_counter()) < until:
            await call(random.choice(requests))  # noqa: S311 - spreads the load
            latencies.append(time.perf_counter() - asked)

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return _Trial(len(latencies) / (time.perf_counter() - started), latencies)


async def _requests(service: Service) -> Sequence[GetContactSyncStatusRequest]:
    connection = await asyncpg.connect(service.database.admin_url)
    try:
        rows = await connection.fetch("SELECT id FROM contacts LIMIT $1", _CONTACTS)
    finally:
        await connection.close()
    return [GetContactSyncStatusRequest(contact_id=str(row["id"])) for row in rows]
