"""Opening a connection."""

import pytest

from crmsync_client import CrmsyncClient
from crmsync_client.channel import is_loopback
from tests.clients.scripted import ScriptedServer, plays, state


async def test_the_token_goes_with_every_call(port: int, scripted: ScriptedServer) -> None:
    """In the header that bearer tokens travel in."""
    scripted.watches = [plays(state(0)), plays(state(9, ended=True))]
    async with CrmsyncClient(f"localhost:{port}", token="the-token") as crmsync:
        assert [one async for one in crmsync.watch_session("the-session")]
    sent = [metadata["authorization"] for metadata in scripted.metadata]
    assert sent == ["Bearer the-token"] * 2


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "LOCALHOST:1",
        "127.0.0.1:1",
        "127.8.9.10:1",
        "[::1]:1",
        "dns:///localhost:1",
    ],
)
def test_this_machine_is_spoken_to_in_the_clear(target: str) -> None:
    """Nobody else can listen there."""
    assert is_loopback(target)


@pytest.mark.parametrize(
    "target",
    ["crmsync.example.com:443", "10.0.0.7:1", "[2001:db8::1]:1", "localhost.example.com:1"],
)
def test_any_other_machine_is_spoken_to_by_tls(target: str) -> None:
    """A token never crosses a network in the clear."""
    assert not is_loopback(target)
