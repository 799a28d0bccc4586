"""The HTTP listener by itself: who gets what, and that nobody can wear it out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.web.metrics import Metrics
from crmsync_server.web.routes import MetricsDoor
from crmsync_server.web.server import HttpAddressError
from tests.web.conftest import Site

PART = b"x" * 64 * 1024
MEGABYTE = 1024 * 1024


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect without any manners."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def memory() -> int:
    """Return how many bytes of memory this process, and so the server, holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def head(url: str, *lines: str) -> bytes:
    """Return the head of a webhook."""
    path = "/" + url.split("/", 3)[3]
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: there", *lines, "", ""]).encode()


async def test_a_large_body_is_refused_while_it_comes(site: Site, sandbox: Sandbox) -> None:
    """Announced or not, it is never held in memory."""
    url = await site.connect(sandbox)
    await refused_in_parts(site, url)
    before = memory()
    for _ in range(5):
        await refused_in_parts(site, url)
    assert memory() - before < 4 * MEGABYTE
    async with connected(site) as (reader, writer):
        writer.write(head(url, f"Content-Length: {10 * MEGABYTE}"))
        assert b" 413 " in await reader.readline()
    assert await site.counted("hubspot", "too_large") == 7


async def refused_in_parts(site: Site, url: str) -> None:
    """Send 10 MB of a body that does not say how long it is, though it is refused after 1 MB."""
    async with connected(site) as (reader, writer):
        writer.write(head(url, "Transfer-Encoding: chunked"))
        for _ in range(10 * MEGABYTE // len(PART)):
            writer.write(b"%x\r\n%s\r\n" % (len(PART), PART))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert b" 413 " in await reader.readline()


async def test_a_body_as_long_as_is_allowed_is_read(site: Site, sandbox: Sandbox) -> None:
    """Here it proves nothing; one byte more is too much."""
    url = await site.connect(sandbox)
    assert (await site.http.post(url, content=b"x" * MEGABYTE)).status_code == 401
    assert (await site.http.post(url, content=b"x" * (MEGABYTE + 1))).status_code == 413


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks/hubspot/1 HTT"])
async def test_a_request_that_does_not_come_is_not_waited_for(site: Site, sent: bytes) -> None:
    """Connections are few."""
    async with connected(site) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_a_body_that_does_not_come_is_not_waited_for(site: Site, sandbox: Sandbox) -> None:
    """Not even when a little of it comes again and again."""
    url = await site.connect(sandbox)
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        writer.write(head(url, "Content-Length: 1000"))
        trickle = asyncio.create_task(_trickle(writer))
        assert b" 408 " in await reader.readline()
        await reader.read()
        trickle.cancel()
        await asyncio.wait([trickle])
    assert await site.counted("hubspot", "incomplete") == 1


async def _trickle(writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(b"x")
        await asyncio.sleep(0.05)  # this is a slow sender, not a wait


@pytest.mark.parametrize("line", [b"X-Long: " + PART, b"X-Many: 1\r\n" * (len(PART) // 11)])
async def test_a_head_without_end_is_refused(site: Site, line: bytes) -> None:
    """It is kept until it is whole, so it may not be large."""
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        begun = b"POST /webhooks/hubspot/1 HTTP/1.1\r\nHost: there\r\n"
        writer.write((begun + line)[: len(PART) + 1])
        assert b" 400 " in await reader.readline()


async def test_what_follows_a_body_without_end_is_refused(site: Site) -> None:
    """Its parts end with more headers, which are kept as well."""
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        lines = ("POST /nothing HTTP/1.1", "Host: there", "Transfer-Encoding: chunked", "", "")
        writer.write("\r\n".join(lines).encode())
        await reader.readuntil(b"\r\n\r\nNot Found")
        writer.write((b"0\r\nX-Long: " + PART)[: len(PART) + 1])
        assert b" 400 " in await reader.readline()


async def test_requests_that_follow_each_other_at_once_are_answered_in_turn(site: Site) -> None:
    """However they are cut on their way."""
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        paths = ("/healthz", "/nothing")
        asked = b"".join(f"GET {one} HTTP/1.1\r\nHost: there\r\n\r\n".encode() for one in paths)
        writer.write(asked)
        first = await reader.readuntil(b"serving\n")
        second = await reader.readuntil(b"\r\n\r\nNot Found")
        for one in asked * 2:
            writer.write(bytes([one]))
            await writer.drain()
        rest = [await reader.readuntil(end) for end in (b"serving\n", b"\r\n\r\nNot Found") * 2]
    assert first.startswith(b"HTTP/1.1 200 ")
    assert all(one.startswith(b"HTTP/1.1 404 ") for one in (second, *rest[1::2]))


async def test_a_wish_to_speak_something_else_is_passed_over(site: Site) -> None:
    """Some clients ask for HTTP/2 with each request; they are answered as they asked before."""
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        for _ in range(2):
            lines = ("GET /healthz HTTP/1.1", "Host: there", "Connection: Upgrade", "Upgrade: h2c")
            writer.write("\r\n".join((*lines, "", "")).encode())
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b"serving\n")


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 1", "Transfer-Encoding: chunked"),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: -1",),
        ("Content Length: 1",),
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_refused(
    site: Site, lines: tuple[str, ...]
) -> None:
    """A proxy before the server may read it in the other."""
    async with connected(site) as (reader, writer), asyncio.timeout(5):
        writer.write(head(f"{site.url}/webhooks/hubspot/1", *lines))
        assert b" 400 " in await reader.readline()


async def test_a_sender_that_goes_away_is_forgotten(site: Site, sandbox: Sandbox) -> None:
    """And the next one is served."""
    url = await site.connect(sandbox)
    async with connected(site) as (_, writer):
        writer.write(head(url, "Content-Length: 1000") + b"x")
        await writer.drain()
    assert (await site.http.get("/healthz")).status_code == 200


async def test_what_is_no_http_leaves_no_line(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever scans ports fills no log."""
    capsys.readouterr()
    async with connected(site) as (reader, writer):
        writer.write(b"\x16\x03\x01\x00\x00 hello\r\n\r\n")
        assert b" 400 " in await reader.readline()
    assert (await site.http.get("/nothing")).status_code == 404
    out, err = capsys.readouterr()
    assert out + err == ""


async def test_metrics_are_in_the_text_of_prometheus(site: Site) -> None:
    """For this machine; what a proxy passes on comes from somewhere else."""
    reply = await site.http.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    for name in ("crmsync_webhooks", "crmsync_queue_open", "crmsync_notices_waiting"):
        assert f"# HELP {name}" in reply.text
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        refused = await site.http.get("/metrics", headers={name: "127.0.0.1"})
        assert refused.status_code == 403


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("10.2.0.1", 403),
        ("192.0.2.1", 403),
        ("2001:db8::1", 403),
    ],
)
async def test_metrics_are_for_this_machine_and_the_networks_that_are_allowed(
    database: Database, peer: str, status: int
) -> None:
    """And for nobody else."""
    networks = Settings.model_validate({"metrics_networks": "10.1.0.0/16"}).metrics_networks
    door = MetricsDoor(Metrics(database), networks)
    application = Starlette(routes=[Route("/metrics", door.read)])
    transport = httpx.ASGITransport(application, client=(peer, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://there") as http:
        assert (await http.get("/metrics")).status_code == status


async def test_without_an_address_nothing_is_served(settings: Settings) -> None:
    """Nobody asked for HTTP."""
    quiet = settings.model_copy(update={"http_address": None})
    async with serving(quiet, authenticator_of(quiet, "x" * 32)) as running:
        assert running.http_port is None


async def test_an_address_that_is_taken_is_told(settings: Settings, site: Site) -> None:
    """And everything that had been started is stopped."""
    address = site.url.removeprefix("http://")
    taken = settings.model_copy(update={"http_address": address})
    with pytest.raises(HttpAddressError, match=address):
        async with serving(taken, authenticator_of(taken, "x" * 32)):
            pass


@pytest.mark.parametrize("told", ["8080", ":8080", "there:99999", "unix:/tmp/x", "there:"])
def test_an_address_must_be_one(told: str) -> None:
    """Host and port."""
    with pytest.raises(ValueError, match="must be host:port"):
        Settings.model_validate({"http_address": told})


@pytest.mark.parametrize(
    "told", ["sync.example.com", "ftp://there", "https://", "https://a/?b", "https://u:p@a"]
)
def test_a_public_address_must_be_one(told: str) -> None:
    """And is told without quoting what may be a password."""
    with pytest.raises(ValueError, match="must be a URL such as") as refused:
        Settings.model_validate({"public_url": told})
    assert "u:p" not in str(refused.value)
