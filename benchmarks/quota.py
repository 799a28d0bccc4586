"""Whether server processes together use up what a CRM allows, and never ask for more.

The CRM is the simulated HubSpot, in this process, over loopback: 190 calls in any ten seconds, as
they arrive there.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from http import HTTPStatus

from benchmarks.figures import Bar, Figure, say
from benchmarks.intake import import_contacts
from benchmarks.postgres import Postgres
from benchmarks.service import Service, client, serving_on
from crmsync.v1.session_pb2 import SESSION_STATE_SUCCEEDED, Session
from crmsync.v1.sync_service_pb2 import QueueAllContactsRequest
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.hubspot import HubSpot
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.server import Sandbox

_CRM = "hubspot"
_COUNT = 50_000
_LEAST = 20_000  # two windows: one alone is a burst, and says nothing of the rate
_BATCH = 100
_PER_SECOND = 19.0
_WITHIN = 1.05


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Deliver 50,000 contacts by one server process, then by two."""
    count = max(_LEAST, int(_COUNT * scale))
    figures: list[Figure] = []
    for processes in (1, 2):
        async with Sandbox() as sandbox:
            for name in ("plan", "city"):
                sandbox.hubspot.portal.definitions[name] = PropertyDefinition(name, name)
            settings = {
                "CRMSYNC_HUBSPOT_TOKEN": sandbox.hubspot.settings.token,
                "CRMSYNC_HUBSPOT_BASE_URL": sandbox.urls[_CRM],
            }
            async with _servers(server, settings, processes) as service, client(service) as caller:
                await import_contacts(caller, count, seed=1)
                elapsed = await _deliver(caller, count)
            figures += _figures(sandbox.hubspot, count, elapsed, processes)
    return figures


@asynccontextmanager
async def _servers(
    server: Postgres, settings: dict[str, str], processes: int
) -> AsyncIterator[Service]:
    """Run server processes on one database; yield one of them."""
    async with server.database() as place, AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(serving_on(server, place, settings))
            for _ in range(processes)
        ]
        await place.settle()
        yield running[0]


async def _deliver(caller: CrmsyncClient, count: int) -> float:
    """Return the seconds from the answer to QueueAllContacts to the end of its session."""
    queued = await caller.sync.QueueAllContacts(QueueAllContactsRequest(crm=_CRM))
    started = time.perf_counter()
    found = Session()
    async with aclosing(caller.watch_session(queued.session.id)) as states:
        async for state in states:
            found = state
    elapsed = time.perf_counter() - started
    if found.state != SESSION_STATE_SUCCEEDED or found.progress.synced != count:
        message = f"the session ended with {found.progress} instead of {count} synced"
        raise RuntimeError(message)
    return elapsed


def _figures(crm: HubSpot, count: int, elapsed: float, processes: int) -> list[Figure]:
    calls = _answered(crm, HTTPStatus.OK)
    refused = _answered(crm, HTTPStatus.TOO_MANY_REQUESTS)
    theory = count / _BATCH / _PER_SECOND
    share = calls / (elapsed * _PER_SECOND)
    say(f"  {processes}: {elapsed:.2f} s, {calls} calls, {refused} refused")
    of = f"{processes} process{'' if processes == 1 else 'es'}"
    return [
        Figure(
            f"{count:,} contacts to HubSpot, {of}",
            elapsed,
            "s",
            Bar(theory * _WITHIN, most=True),
            f"{elapsed / theory:.3f} of {theory:.1f} s at the steady rate",
        ),
        Figure(f"calls over what {elapsed:.1f} s allow, {of}", share, bar=Bar(0.95)),
        Figure(f"429s, {of}", refused, bar=Bar(0, most=True)),
    ]


def _answered(crm: HubSpot, status: HTTPStatus) -> int:
    found = crm.calls.as_json()["calls"]
    assert isinstance(found, list)  # noqa: S101 - what the type cannot tell
    return sum(one["count"] for one in found if one["status"] == str(status.value))
