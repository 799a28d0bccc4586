"""The demo as a program: from its CSV file to its account and its exit status."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path

from rich.console import Console

from crmsync_server.demo import contacts, report, steps
from crmsync_server.demo.display import display
from crmsync_server.demo.house import client, house

_CONTACTS = 10_000
_SEED = 2026
_INTERRUPTED = 130  # as a shell reports Ctrl-C


def run(count: int = _CONTACTS) -> int:
    """Run the demo on the terminal; return the exit status: 0 if its account balances.

    Ctrl-C and SIGTERM stop it, and everything that it started.
    """
    console = Console()
    try:
        return asyncio.run(_stoppable(_demo(console, count)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped.")
        return _INTERRUPTED


async def _stoppable(demo: Coroutine[None, None, int]) -> int:
    """Run the demo so that SIGTERM cancels it, as asyncio does it for Ctrl-C."""
    running = asyncio.ensure_future(demo)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


async def _demo(console: Console, count: int) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crmsync-demo-") as name:
        folder = Path(name)
        file = folder / "contacts.csv"
        contacts.write(file, count, _SEED)
        console.print(f"Wrote {count:,} contacts; starting PostgreSQL, a server and two CRMs.")
        console.print(
            "The CRMs' rate limits are the real ones; Brevo's 100 slow calls an hour may be"
        )
        console.print("made at once instead of one every 36 s.")
        async with house(folder) as running, client(running) as crmsync:
            await steps.misbehave(running)
            imported = await crmsync.import_contacts(contacts.read(file))
            report.imported(console, count, imported)
            sessions = await steps.queue_all(crmsync)
            with display(console, sessions) as show:
                await steps.watch(crmsync, sessions, show)
            result = await steps.examine(running, count, imported, sessions)
        report.result(console, result, time.monotonic() - began)
    return 0 if result.balances else 1
