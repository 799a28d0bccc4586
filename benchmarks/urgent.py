"""How soon a contact of priority HIGH is at its CRM, while 50,000 of priority NORMAL wait.

From the call of QueueContact to the moment that the simulated HubSpot holds it: 190 calls in any
ten seconds, nearly all of them taken by what waits. It runs in this process, over loopback.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.figures import Bar, Figure, say
from benchmarks.intake import import_contacts
from benchmarks.postgres import Postgres
from benchmarks.service import client, serving_on
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import CreateContactRequest
from crmsync.v1.contact_sync_pb2 import PRIORITY_HIGH
from crmsync.v1.sync_service_pb2 import (
    GetSyncStatsRequest,
    QueueAllContactsRequest,
    QueueContactRequest,
)
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.hubspot import HubSpot
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.server import Sandbox

_CRM = "hubspot"
_COUNT = 50_000
_LEAST = 10_000
_SAMPLES = 100
_BETWEEN = 0.15
_LOOK = 0.002
_PATIENCE = 30.0


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Queue 100 urgent contacts, one after the other, into a lane that is busy for long."""
    count, samples = max(_LEAST, int(_COUNT * scale)), max(20, int(_SAMPLES * scale))
    async with _busy(server, count) as (hubspot, caller):
        waits = [await _urgent(hubspot, caller, number) for number in range(samples)]
        answer = await caller.sync.GetSyncStats(GetSyncStatsRequest(crm=_CRM))
    if not answer.stats.queued:
        message = "the lane ran empty while it was measured"
        raise RuntimeError(message)
    percentiles = statistics.quantiles(waits, n=100, method="inclusive")
    say(f"  {answer.stats.queued:,} still wait, {answer.stats.synced:,} are delivered")
    title = f"HIGH beside {count:,} NORMAL, until HubSpot holds it"
    return [
        Figure(f"{title}, p50", percentiles[49] * 1000, "ms"),
        Figure(f"{title}, p99", percentiles[98] * 1000, "ms", Bar(500, most=True)),
    ]


@asynccontextmanager
async def _busy(server: Postgres, count: int) -> AsyncIterator[tuple[HubSpot, CrmsyncClient]]:
    async with Sandbox() as sandbox, server.database() as place:
        for name in ("plan", "city"):
            sandbox.hubspot.portal.definitions[name] = PropertyDefinition(name, name)
        settings = {
            "CRMSYNC_HUBSPOT_TOKEN": sandbox.hubspot.settings.token,
            "CRMSYNC_HUBSPOT_BASE_URL": sandbox.urls[_CRM],
        }
        async with serving_on(server, place, settings) as service, client(service) as caller:
            await import_contacts(caller, count, seed=1)
            await place.settle()
            await caller.sync.QueueAllContacts(QueueAllContactsRequest(crm=_CRM))
            yield sandbox.hubspot, caller


async def _urgent(hubspot: HubSpot, caller: CrmsyncClient, number: int) -> float:
    """Return the seconds that one contact took."""
    await asyncio.sleep(_BETWEEN)
    email = f"urgent.{number}@example.com"
    contact = Contact(
        email=email, first_name="Ada", last_name="Urgent", phone="+302101234567", company="Now"
    )
    created = await caller.contacts.CreateContact(CreateContactRequest(contact=contact))
    asked = time.perf_counter()
    await caller.sync.QueueContact(
        QueueContactRequest(contact_id=created.contact.id, crm=_CRM, priority=PRIORITY_HIGH)
    )
    async with asyncio.timeout(_PATIENCE):
        while hubspot.portal.find(email, "email") is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(_LOOK)
    return time.perf_counter() - asked
