"""A server as a reader of the README starts it, and commands as that reader runs them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crmsync_server.demo.house import until_serving
from crmsync_server.demo.processes import Process, free_port

_READY_SECONDS = 60
_COMMAND_SECONDS = 120


def search_path() -> str:
    """Return where programs are looked for: first where this Python was installed."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody at a terminal, beside a server that runs.

    port: where the server listens on the loopback interface.
    """

    port: int
    data_dir: Path

    async def run(self, *command: str, folder: Path | None = None, path: str = "") -> str:
        """Run a command and return what it prints; it must succeed.

        path: where it looks for programs; as `search_path` says unless told.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={
                **os.environ,
                "PATH": path or search_path(),
                "CRMSYNC_DATA_DIR": str(self.data_dir),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, problems = await asyncio.wait_for(process.communicate(), _COMMAND_SECONDS)
        assert process.returncode == 0, f"{out.decode()}\n{problems.decode()}"
        return out.decode()


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """Run `crmsync-server serve --sandbox` on a free port."""
    port, data_dir = free_port(), tmp_path / "data"
    target = f"127.0.0.1:{port}"
    verb = ["serve", "--sandbox", "--grpc", target]
    server = Process(verb, {"CRMSYNC_DATA_DIR": str(data_dir)}, tmp_path / "server.log")
    await server.start()
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await server.while_running(until_serving(target))
        yield Reader(port, data_dir)
    finally:
        await server.stop()
