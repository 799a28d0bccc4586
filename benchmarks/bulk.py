"""How fast a mass update is acknowledged, and how soon a crowd of watchers sees the end of one.

Messages are built before the clock starts; writing them to the channel is timed. Server, simulated
CRM and PostgreSQL are processes of their own and share the cores; the watchers share one process.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing

from benchmarks.crm import simulating
from benchmarks.figures import Bar, Figure, say
from benchmarks.people import people
from benchmarks.postgres import Postgres
from benchmarks.service import Service, client, indexed, serving_on
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1.admin_service_pb2 import PauseCrmRequest, ResumeCrmRequest
from crmsync.v1.bulk_record_pb2 import BULK_OPERATION_UPDATE, BULK_OPERATION_UPSERT, BulkRecord
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.session_pb2 import SESSION_STATE_SUCCEEDED, Session
from crmsync_client import CrmsyncClient

_CRM = "hubspot"
_COUNT = 50_000
_LEAST = 1_000
_IN_MESSAGE = 500
_WATCHERS = 1_000
_SECONDS = 3.0
_MEGABYTES = 300
_MILLISECONDS = 250
_PLENTY = "1000000000"


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Take in 50,000 new contacts, change them all, and deliver them before 1,000 watchers."""
    count = max(_LEAST, int(_COUNT * scale))
    async with simulating(_CRM, 1) as crm, server.database() as place:
        settings = {
            "CRMSYNC_HUBSPOT_TOKEN": "sandbox-hubspot-token",
            "CRMSYNC_HUBSPOT_BASE_URL": crm.url,
            "CRMSYNC_HUBSPOT_OPTIONS": json.dumps({"burst_calls": _PLENTY, "daily_calls": _PLENTY}),
        }
        async with serving_on(server, place, settings) as service, client(service) as caller:
            await caller.admin.PauseCrm(PauseCrmRequest(crm=_CRM))
            new, _ = await _update(caller, BULK_OPERATION_UPSERT, count)
            await indexed(service)
            changed, session = await _update(caller, BULK_OPERATION_UPDATE, count)
            memory = service.peak_megabytes()
            say(f"  new {new:.2f} s, changed {changed:.2f} s, {memory:.0f} MB")
            await place.settle()
            late, rate = await _watched(caller, session, service)
    bar = Bar(_SECONDS, most=True)
    return [
        Figure(f"{count:,} new contacts by StartMassUpdate, durable", new, "s", bar),
        Figure(f"{count:,} changed ones, durable", changed, "s", bar),
        Figure("server memory, most through both", memory, "MB", Bar(_MEGABYTES, most=True)),
        Figure(
            f"{_WATCHERS:,} watchers, from the last commit to its sight, p99",
            late,
            "ms",
            Bar(_MILLISECONDS, most=True),
            f"while {rate:,.0f} records/s were delivered",
        ),
    ]


async def _update(caller: CrmsyncClient, operation: int, count: int) -> tuple[float, Session]:
    messages = list(_messages(operation, count))
    started = time.perf_counter()
    answer = await caller.bulk.StartMassUpdate(iter(messages))
    elapsed = time.perf_counter() - started
    changes = answer.changes
    if answer.accepted != count or max(changes.created, changes.updated) != count:
        message = f"not all records were taken: {answer}"
        raise RuntimeError(message)
    return elapsed, answer.session


def _messages(operation: int, count: int) -> Iterator[pb.StartMassUpdateRequest]:
    yield pb.StartMassUpdateRequest(crm=_CRM)
    records = list(_records(operation, count))
    for start in range(0, count, _IN_MESSAGE):
        yield pb.StartMassUpdateRequest(records=records[start : start + _IN_MESSAGE])


def _records(operation: int, count: int) -> Iterator[BulkRecord]:
    for one in people(count):
        contact = Contact(
            email=one.email,
            first_name=one.first_name,
            last_name=one.last_name,
            phone=one.phone,
            company=one.company if operation == BULK_OPERATION_UPSERT else f"{one.company} & Co",
            tags=one.tags,
        )
        yield BulkRecord(operation=operation, contact=contact)  # type: ignore[arg-type]


async def _watched(
    caller: CrmsyncClient, session: Session, service: Service
) -> tuple[float, float]:
    """Return how late the last but ten of the watchers were, in milliseconds, and the rate."""
    seen = asyncio.Semaphore(0)
    late: list[float] = []

    async def watch() -> None:
        found = Session()
        async with aclosing(caller.watch_session(session.id)) as states:
            async for state in states:
                if not found.id:
                    seen.release()
                found = state
            late.append(time.time() - found.end_time.ToNanoseconds() / 1e9)
        if found.state != SESSION_STATE_SUCCEEDED or found.progress.synced != found.progress.total:
            message = f"the session ended with {found.progress}"
            raise RuntimeError(message)

    async with asyncio.TaskGroup() as group:
        for _ in range(_WATCHERS):
            group.create_task(watch())
        for _ in range(_WATCHERS):
            await seen.acquire()
        started = time.perf_counter()
        await caller.admin.ResumeCrm(ResumeCrmRequest(crm=_CRM))
    elapsed = time.perf_counter() - started
    late.sort()
    median, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    say(f"  {elapsed:.1f} s, watchers late by {median * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    say(f"  the server ends with {service.megabytes():.0f} MB")
    return p99 * 1e3, session.progress.total / elapsed
