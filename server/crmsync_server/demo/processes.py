"""The demo's processes: crmsync-server's own verbs, each in a process that can be killed."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 25.0
_LAST_LINES = 15


class ProcessDiedError(RuntimeError):
    """A process ended while it was needed; the text has the end of its log."""


class Process:
    """One `crmsync-server …` and its log file."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Take the arguments and what the environment has besides this process's own."""
        self._command = [sys.executable, "-m", "crmsync_server", *arguments]
        self._environment = {**_without_settings(), **environment}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, again if it has ended; its log goes on."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for whoever started it, who then stops things in their order.
                start_new_session=True,
            )

    async def while_running(self, wanted: Awaitable[None]) -> None:
        """Wait for something that only comes while the process lives.

        Raises:
            ProcessDiedError: it ended first.
        """
        process = self._started()
        waiting = asyncio.ensure_future(wanted)
        ending = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ProcessDiedError(self._obituary(process))
            waiting.result()
        finally:
            for task in (waiting, ending):
                task.cancel()
            await asyncio.wait((waiting, ending))

    async def kill(self) -> None:
        """Kill it as `kill -9` does, and wait until it is gone."""
        process = self._started()
        process.kill()
        await process.wait()

    async def stop(self) -> None:
        """Ask it to end, and kill it if it does not; nothing happens when it is gone."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            message = f"{self._command} was not started"
            raise RuntimeError(message)
        return self._process

    def _obituary(self, process: asyncio.subprocess.Process) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        command = " ".join(self._command[2:])
        return "\n".join([f"{command} ended with status {process.returncode}:", *lines])


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _without_settings() -> dict[str, str]:
    """Return the environment without crmsync's settings: the demo has its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CRMSYNC_")}
