"""How fast a CRM is read: every record fetched, matched, merged, stored and accounted for.

Server, simulated CRM and PostgreSQL are processes of their own and share the machine's cores; what
each of them costs for a record is told besides, in processor time.
"""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crm import Crm, simulating
from benchmarks.figures import Bar, Figure, say
from benchmarks.postgres import Database, Postgres
from benchmarks.service import Service, client, serving_on
from crmsync.v1.session_pb2 import SESSION_STATE_SUCCEEDED, SYNC_DIRECTION_PULL, Session
from crmsync.v1.session_service_pb2 import FullSync, IncrementalSync, StartSessionRequest
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.mautic import MauticSettings
from crmsync_server.sandbox.zoho import ZohoSettings

_COUNT = 200_000
_SMALLER = 40_000  # at CRMs whose simulators, or whose ways to be read, are slower
_LEAST = 2_000
_CHANGES = 100
_RATE = 5_000
_CHANGES_WITHIN = 3.0
_MEGABYTES = 250
_LIMITED = 40_000
_LEAST_LIMITED = 20_000  # two windows: one alone is a burst, and says nothing of the rate
_PER_SECOND = 19 * 100  # HubSpot's records: 190 calls of 100 in ten seconds
_WITHIN = 1.05
_TICKS = os.sysconf("SC_CLK_TCK")
_PLENTY = "1000000000"


@dataclass(frozen=True, slots=True)
class _Case:
    """One CRM to be read, and how.

    options: of the connection. bar: None where the simulator itself, or the CRM's way to be read,
        is what takes the time.
    """

    crm: str
    count: int
    how: str
    options: dict[str, str]
    limited: bool = False
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What one session took: seconds, and processor time of each who took part."""

    records: int
    seconds: float
    server: float
    postgres: float
    crm: float

    @property
    def shares(self) -> str:
        """What a record costs each of them."""
        each = 1e6 / max(1, self.records)
        return (
            f"CPU for a record: server {self.server * each:.0f} us, PostgreSQL "
            f"{self.postgres * each:.0f} us, simulator {self.crm * each:.0f} us"
        )


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everybody who takes part."""

    crm: Crm
    server: Postgres
    place: Database
    service: Service
    caller: CrmsyncClient

    async def cpu(self) -> tuple[float, float, float]:
        """Return the processor time of server, PostgreSQL and simulator so far, in seconds."""
        seen = await self.crm.look()
        return _cpu(self.service.pid), _postgres_cpu(self.server), seen.cpu


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Read 200,000 contacts of HubSpot and of Zoho, fewer of the others, and what has changed."""
    count, smaller = (max(_LEAST, int(one * scale)) for one in (_COUNT, _SMALLER))
    free = {"burst_calls": _PLENTY, "daily_calls": _PLENTY, "search_calls": _PLENTY}
    zoho = {"burst_calls": _PLENTY, "daily_credits": _PLENTY}
    bar = Bar(_RATE)
    listed = {**zoho, "bulk_read_threshold": _PLENTY}
    brevo = {"contacts_calls": _PLENTY, "contacts_hourly_calls": _PLENTY, "other_calls": _PLENTY}
    cases = (
        _Case("hubspot", count, "", free, bar=bar),
        _Case("zoho", count, " by bulk jobs", {**zoho, "bulk_read_threshold": "1000"}, bar=bar),
        _Case("zoho", smaller, " by lists and queries", listed, bar=bar),
        _Case("brevo", smaller, "", brevo, bar=bar),
        _Case("mautic", smaller, "", {}),
    )
    figures: list[Figure] = []
    for case in cases:
        figures += await _unlimited(server, case)
    limited = max(_LEAST_LIMITED, int(_LIMITED * scale))
    return [*figures, *await _rationed(server, _Case("hubspot", limited, "", {}, limited=True))]


async def _unlimited(server: Postgres, case: _Case) -> list[Figure]:
    async with _reading(server, case) as scene:
        before = scene.service.peak_megabytes()
        whole = await _session(scene, _full(case.crm))
        _check(whole, case.count)
        again = await _session(scene, _full(case.crm))
        _check(again, case.count)
        await scene.crm.edit(_CHANGES)
        await scene.place.settle()
        changed = await _session(scene, _changes(case.crm))
        peak = scene.service.peak_megabytes()
    say(f"  {case.crm}{case.how}: {before:.0f} MB before, {peak:.0f} MB after")
    title = f"{case.count:,} contacts from {case.crm}{case.how}"
    rate, same = whole.records / whole.seconds, again.records / again.seconds
    return [
        Figure(title, rate, "records/s", case.bar, whole.shares),
        Figure(
            f"{title}, nothing new",
            same,
            "records/s",
            case.bar,
            f"{same / rate:.2f} of the first time; {again.shares}",
        ),
        Figure(f"{title}, server memory", peak, "MB", Bar(_MEGABYTES, most=True)),
        Figure(
            f"{_CHANGES} changes among them, {changed.records:,} read",
            changed.seconds,
            "s",
            Bar(_CHANGES_WITHIN, most=True),
        ),
    ]


async def _rationed(server: Postgres, case: _Case) -> list[Figure]:
    async with _reading(server, case) as scene:
        read = await _session(scene, _full(case.crm))
        _check(read, case.count)
        seen = await scene.crm.look()
    theory = case.count / _PER_SECOND
    return [
        Figure(
            f"{case.count:,} contacts from {case.crm} at its rate limit",
            read.seconds,
            "s",
            Bar(theory * _WITHIN, most=True),
            f"{read.seconds / theory:.3f} of {theory:.1f} s at the steady rate",
        ),
        Figure("429s while it was read", seen.refused, bar=Bar(0, most=True)),
    ]


@asynccontextmanager
async def _reading(server: Postgres, case: _Case) -> AsyncIterator[_Scene]:
    """Run a CRM and a server that may read it."""
    async with (
        simulating(case.crm, case.count, limited=case.limited) as crm,
        server.database() as place,
        serving_on(server, place, _settings(case, crm)) as service,
        client(service) as caller,
    ):
        await place.settle()
        yield _Scene(crm, server, place, service, caller)


def _settings(case: _Case, crm: Crm) -> dict[str, str]:
    """Return how a server is told of the CRM."""
    name = f"CRMSYNC_{case.crm.upper()}"
    secrets = {
        "hubspot": {"TOKEN": HubSpotSettings().token},
        "brevo": {"API_KEY": "xkeysib-sandbox"},
        "mautic": {"USERNAME": "sandbox", "PASSWORD": MauticSettings().password},
        "zoho": {
            "CLIENT_ID": ZohoSettings().client_id,
            "CLIENT_SECRET": ZohoSettings().client_secret,
            "REFRESH_TOKEN": ZohoSettings().refresh_token,
        },
    }[case.crm]
    told = {"BASE_URL": crm.url, "OPTIONS": json.dumps(case.options), **secrets}
    return {f"{name}_{key}": value for key, value in told.items()}


def _full(crm: str) -> StartSessionRequest:
    return StartSessionRequest(crm=crm, direction=SYNC_DIRECTION_PULL, full=FullSync())


def _changes(crm: str) -> StartSessionRequest:
    return StartSessionRequest(
        crm=crm, direction=SYNC_DIRECTION_PULL, incremental=IncrementalSync()
    )


async def _session(scene: _Scene, request: StartSessionRequest) -> _Read:
    """Run a session to its end, from the call that starts it until a watcher sees it ended."""
    before = await scene.cpu()
    started = time.perf_counter()
    opened = (await scene.caller.sessions.StartSession(request)).session
    found = Session()
    async with aclosing(scene.caller.watch_session(opened.id)) as states:
        async for state in states:
            found = state
    seconds = time.perf_counter() - started
    spent = [now - then for then, now in zip(before, await scene.cpu(), strict=True)]
    if found.state != SESSION_STATE_SUCCEEDED:
        message = f"the session ended with {found}"
        raise RuntimeError(message)
    read = _Read(found.pull.read, seconds, *spent)
    say(f"  {request.crm}: {read.records:,} in {seconds:.2f} s; {read.shares}")
    return read


def _check(read: _Read, count: int) -> None:
    if read.records != count:
        message = f"{read.records} records were read instead of {count}"
        raise RuntimeError(message)


def _cpu(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    return sum(_times(pid)[:2])


def _postgres_cpu(server: Postgres) -> float:
    """Return the same of PostgreSQL: of all of its processes, those included that have ended."""
    told = (server.folder / "postgres" / "postmaster.pid").read_text(encoding="ascii")
    postmaster = int(told.split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii")
    return sum(_times(postmaster)) + sum(_cpu(int(child)) for child in children.split())


def _times(pid: int) -> list[float]:
    """Return user, system, and those of the children that have ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return [0.0] * 4
    return [int(ticks) / _TICKS for ticks in stat.rpartition(")")[2].split()[11:15]]
