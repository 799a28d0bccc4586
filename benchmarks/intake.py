"""How fast contacts are taken in and queued, through a channel, by a server process.

ImportContacts' messages are built before the clock starts; writing them to the channel is timed.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from benchmarks.figures import Bar, Figure, say
from benchmarks.people import people
from benchmarks.service import Service, client, indexed
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import ImportContactsRequest
from crmsync.v1.session_pb2 import Session
from crmsync.v1.sync_service_pb2 import QueueAllContactsRequest
from crmsync_client import CrmsyncClient
from crmsync_client.client import CHUNK
from crmsync_server.rpc.tokens import DEFAULT_ORG
from crmsync_server.store import lane
from crmsync_server.store.db import Database

_CRMS = ("hubspot", "brevo")
_IMPORTS = 2
_COUNT = 100_000
_LEAST = 1_000
_WATCHERS = 1_000


async def measure(service: Service, scale: float) -> list[Figure]:
    """Import 100,000 contacts twice, queue all 200,000 for two CRMs, and watch a session."""
    count = max(_LEAST, int(_COUNT * scale))
    await _pause_lanes(service.database.url)
    async with client(service) as caller:
        imported = [await import_contacts(caller, count, seed) for seed in range(_IMPORTS)]
        say(f"  imported: {', '.join(f'{rate:,.0f}/s' for rate in imported)}")
        say(f"  found by all their words {await indexed(service):.0f} s later")
        await service.database.settle()
        queued = [await _queue_all(caller, crm, count * _IMPORTS) for crm in _CRMS]
        say(f"  queued: {', '.join(f'{rate:,.0f}/s' for rate, _ in queued)}")
        waited = await _watch(caller, queued[0][1], _WATCHERS)
    return [
        Figure(
            f"ImportContacts, {count:,} contacts, validated and durable",
            statistics.median(imported),
            "contacts/s",
            Bar(20_000),
        ),
        Figure(
            f"QueueAllContacts, {count * _IMPORTS:,} contacts",
            statistics.median(rate for rate, _ in queued),
            "rows/s",
            Bar(100_000),
        ),
        Figure(f"{_WATCHERS:,} watches of one session, to the last snapshot", waited, "s"),
    ]


async def _pause_lanes(url: str) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    database = Database(url)
    try:
        async with database.org(DEFAULT_ORG) as connection:
            for crm in _CRMS:
                await lane.pause(
                    connection, DEFAULT_ORG, crm, until=until, code="BENCHMARK", message=""
                )
    finally:
        await database.close()


async def import_contacts(caller: CrmsyncClient, count: int, seed: int) -> float:
    """Import so many new contacts; return contacts per second."""
    requests = _requests(count, seed)
    started = time.perf_counter()
    response = await caller.contacts.ImportContacts(iter(requests))
    elapsed = time.perf_counter() - started
    if response.created != count:
        message = f"of {count} contacts {response.created} were created"
        raise RuntimeError(message)
    return count / elapsed


def _requests(count: int, seed: int) -> Sequence[ImportContactsRequest]:
    contacts = [
        Contact(
            email=f"{seed}.{one.email}",
            first_name=one.first_name,
            last_name=one.last_name,
            phone=one.phone,
            company=one.company,
            tags=one.tags,
            properties=one.properties,
        )
        for one in people(count, seed)
    ]
    parts = [contacts[start : start + CHUNK] for start in range(0, count, CHUNK)]
    first = ImportContactsRequest(request_id=str(uuid4()))
    return [first, *(ImportContactsRequest(contacts=part) for part in parts)]


async def _queue_all(caller: CrmsyncClient, crm: str, count: int) -> tuple[float, Session]:
    started = time.perf_counter()
    response = await caller.sync.QueueAllContacts(QueueAllContactsRequest(crm=crm))
    elapsed = time.perf_counter() - started
    if response.queued_count != count:
        message = f"of {count} contacts {response.queued_count} were queued"
        raise RuntimeError(message)
    return count / elapsed, response.session


async def _watch(caller: CrmsyncClient, session: Session, watchers: int) -> float:
    """Return the seconds until so many watchers have seen the session, all at once."""

    async def first() -> None:
        async with aclosing(caller.watch_session(session.id)) as states:
            await anext(states)
            seen.release()
            await over.wait()

    seen, over = asyncio.Semaphore(0), asyncio.Event()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(watchers):
            group.create_task(first())
        for _ in range(watchers):
            await seen.acquire()
        elapsed = time.perf_counter() - started
        over.set()
    return elapsed
