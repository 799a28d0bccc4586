"""The demo at a smaller size, with somebody who kills parts of it while it works."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeAlias

from crmsync.v1.session_pb2 import Session
from crmsync_server.demo import contacts
from crmsync_server.demo.faults import DIALS
from crmsync_server.demo.house import House, client, house
from crmsync_server.demo.steps import Result, examine, misbehave, queue_all, watch

LINES = 2000
SEED = 7
# Slow enough to be met in the middle of its work.
_LATENCY_SECONDS = 0.3


class Progress:
    """What a watcher has seen of the sessions so far."""

    def __init__(self) -> None:
        """Start having seen nothing."""
        self._seen: dict[str, Session] = {}
        self._news = asyncio.Event()

    def show(self, session: Session) -> None:
        """Take note of a session's newest state."""
        self._seen[session.crm] = session
        self._news.set()

    async def reaches(self, crm: str, percent: float) -> None:
        """Return when a CRM's session has come so far."""
        while self.percentage(crm) < percent:
            self._news.clear()
            await self._news.wait()

    def percentage(self, crm: str) -> float:
        """Return how far a CRM's session has come, in percent."""
        return self._seen[crm].progress.percentage if crm in self._seen else 0.0


Disturbance: TypeAlias = Callable[[House, Progress], Coroutine[None, None, None]]


async def undisturbed(_: House, __: Progress) -> None:
    """Let everything live."""


async def kill_server(running: House, progress: Progress) -> None:
    """Kill the server in the middle of its work, and start it again on the same data."""
    await _middle(progress, 10)
    await running.server.kill()
    await running.start_server()


async def kill_server_twice(running: House, progress: Progress) -> None:
    """Kill the server, and its successor a little later."""
    await kill_server(running, progress)
    await _middle(progress, 40)
    await running.server.kill()
    await running.start_server()


async def kill_server_and_database(running: House, progress: Progress) -> None:
    """Kill the server and its PostgreSQL, so that both come back from what is on disk."""
    await _middle(progress, 10)
    os.kill(_postmaster(running.data_dir), signal.SIGKILL)
    await running.server.kill()
    await running.start_server()


async def _middle(progress: Progress, percent: float) -> None:
    """Return when HubSpot has come so far; Brevo's imports are under way for longer."""
    await progress.reaches("hubspot", percent)
    assert progress.percentage("brevo") < 100


async def demo(folder: Path, disturb: Disturbance) -> Result:
    """Run the demo in a folder while it is disturbed, and examine what came of it."""
    file = folder / "contacts.csv"
    contacts.write(file, LINES, SEED)
    progress = Progress()
    async with house(folder) as running, client(running) as crmsync:
        await misbehave(running)
        await running.set_faults(
            "hubspot", {**DIALS["hubspot"], "latency_seconds": _LATENCY_SECONDS}
        )
        imported = await crmsync.import_contacts(contacts.read(file))
        sessions = await queue_all(crmsync)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(crmsync, sessions, progress.show))
            group.create_task(disturb(running, progress))
        return await examine(running, LINES, imported, sessions)


def _postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
