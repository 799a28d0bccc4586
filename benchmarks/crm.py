"""A simulated CRM with many contacts, as a process: `python -m benchmarks.crm zoho 1000 free`.

It says where it listens, then does what its standard input asks for, a line each: `edit 100`
changes so many contacts, `look` nothing. Each answer is a line of JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

import uvloop

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings

_PLENTY = 10**9
_LONG_AGO = timedelta(days=30)
_EDITS: Mapping[str, Mapping[str, str]] = {
    "hubspot": {"company": "Engines"},
    "zoho": {"Phone": "+442071838750"},
    "brevo": {"LASTNAME": "King"},
    "mautic": {"lastname": "King"},
}
_Ask = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a CRM tells of itself.

    cpu: seconds of processor time of its process so far, seeding included.
    """

    cpu: float
    answered: int
    refused: int


@dataclass(frozen=True, slots=True)
class Crm:
    """A running simulator.

    pid: of its process.
    """

    url: str
    pid: int
    process: asyncio.subprocess.Process

    async def edit(self, count: int) -> None:
        """Change so many contacts, as somebody at work there does."""
        await self._ask(f"edit {count}")

    async def look(self) -> Seen:
        """Return what it tells of itself."""
        return Seen(**await self._ask("look"))

    async def _ask(self, command: str) -> dict[str, Any]:
        if self.process.stdin is None:
            message = "the simulator has no standard input"
            raise RuntimeError(message)
        self.process.stdin.write(f"{command}\n".encode())
        return await _line(self.process)


@asynccontextmanager
async def simulating(crm: str, count: int, *, limited: bool = False) -> AsyncIterator[Crm]:
    """Run a simulator with so many contacts until the block ends.

    limited: whether it has the rate limits that the vendor documents, or none that is met.
    """
    pipe = asyncio.subprocess.PIPE
    limits = "limited" if limited else "free"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.crm", crm, str(count), limits), stdin=pipe, stdout=pipe
    )
    try:
        found = await _line(process)
        yield Crm(found["url"], process.pid, process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    told = await process.stdout.readline() if process.stdout else b""
    if not told:
        message = "the simulator ended; its own words are above"
        raise RuntimeError(message)
    found: dict[str, Any] = json.loads(told)
    return found


def _sandbox(*, limited: bool) -> Sandbox:
    if limited:
        return Sandbox()
    return Sandbox(
        hubspot=HubSpotSettings(burst_limit=_PLENTY, search_limit=_PLENTY, daily_limit=_PLENTY),
        brevo=BrevoSettings(contacts_per_second=_PLENTY, contacts_per_hour=_PLENTY),
        zoho=ZohoSettings(credits=_PLENTY, bulk_seconds=0),
    )


async def _run(crm: str, count: int, *, limited: bool) -> None:
    async with _sandbox(limited=limited) as sandbox:
        simulator = getattr(sandbox, crm)
        ids = simulator.user.seed(count, over=_LONG_AGO)
        commands: dict[str, Callable[[str], object]] = {
            "edit": lambda number: simulator.user.edit_many(ids[: int(number)], _EDITS[crm]),
            "look": lambda _: None,
        }
        _say(url=sandbox.urls[crm])
        async for line in _lines():
            name, _, rest = line.partition(" ")
            commands[name](rest)
            _say(
                cpu=time.process_time(),
                answered=_calls(simulator, refused=False),
                refused=_calls(simulator, refused=True),
            )


def _calls(simulator: Any, *, refused: bool) -> int:  # noqa: ANN401 - of any CRM
    status = str(HTTPStatus.TOO_MANY_REQUESTS.value)
    found = simulator.calls.as_json()["calls"]
    return sum(one["count"] for one in found if (one["status"] == status) == refused)


async def _lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    protocol = partial(asyncio.StreamReaderProtocol, reader)
    await asyncio.get_running_loop().connect_read_pipe(protocol, sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


def _say(**told: object) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _, name, number, limits = sys.argv
    uvloop.run(_run(name, int(number), limited=limits == "limited"))
