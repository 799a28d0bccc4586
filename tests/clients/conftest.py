"""A scripted server, and a client of it that does not wait long."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from crmsync_client import CrmsyncClient, RetryPolicy
from tests.clients.scripted import ScriptedServer, serving


@pytest.fixture
def policy() -> RetryPolicy:
    """Return a policy of short waits."""
    return RetryPolicy(base=timedelta(milliseconds=1), cap=timedelta(milliseconds=20))


@pytest.fixture
def scripted() -> ScriptedServer:
    """Return a server without scripts."""
    return ScriptedServer()


@pytest.fixture
async def port(scripted: ScriptedServer) -> AsyncIterator[int]:
    """Serve, and say where."""
    async with serving(scripted) as bound:
        yield bound


@pytest.fixture
async def crmsync(port: int, policy: RetryPolicy) -> AsyncIterator[CrmsyncClient]:
    """Return a client of the server."""
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=policy) as client:
        yield client
