"""The guarded transport, against a server on loopback and resolvers that lie."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.transport import GuardedTransport
from tests.crm.support import SECRET

ALLOWED = (ip_network("127.0.0.1/32"),)


class Inside:
    """A server on every loopback address that counts who connects."""

    def __init__(self) -> None:
        """Nobody has connected yet."""
        self.port = 0
        self.hosts: list[str] = []
        self.requests: list[bytes] = []
        self.location = "http://elsewhere.test/"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request: /away with a redirect, anything else with a cookie."""
        self.hosts.append(writer.get_extra_info("sockname")[0])
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request)
        away = f"HTTP/1.1 302 Found\r\nlocation: {self.location}\r\n"
        cookie = f"HTTP/1.1 200 OK\r\nset-cookie: session={SECRET}\r\nset-cookie: b=2\r\n"
        head = away if request.startswith(b"GET /away ") else cookie
        writer.write(f"{head}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()


class Names(AbstractResolver):
    """Resolves every name to what it is told, and remembers having been asked."""

    def __init__(self, *addresses: str) -> None:
        """Begin with these addresses."""
        self.addresses = addresses
        self.asked: list[str] = []
        self.after: Callable[[list[ResolveResult]], None] = lambda _: None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of the moment."""
        del family
        self.asked.append(host)
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]
        self.after(found)
        return found

    async def close(self) -> None:
        """Do nothing."""


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    """Run the server."""
    running = Inside()
    server = await asyncio.start_server(running.answer, "0.0.0.0", 0)  # noqa: S104 - 127.0.0.2 too
    async with server:
        running.port = server.sockets[0].getsockname()[1]
        yield running


@asynccontextmanager
async def client(*addresses: str) -> AsyncIterator[tuple[httpx.AsyncClient, Names]]:
    """Return a client for which every name has these addresses; 127.0.0.1 is allowed."""
    names = Names(*addresses)
    transport = GuardedTransport(ALLOWED, resolver=names)
    async with httpx.AsyncClient(transport=transport) as made:
        yield made, names


async def test_an_allowed_address_is_reached(inside: Inside) -> None:
    """By its name, and by itself."""
    async with client("127.0.0.1") as (http, _):
        for host in ("crm.test", "127.0.0.1"):
            assert (await http.get(f"http://{host}:{inside.port}/")).status_code == 200
    assert inside.hosts == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.2",),
        ("127.0.0.2", "127.0.0.3"),
        ("::ffff:127.0.0.2",),
        ("10.0.0.1", "169.254.169.254", "::1"),
    ],
)
async def test_a_name_that_leads_inside_is_refused(
    inside: Inside, scheme: str, addresses: tuple[str, ...]
) -> None:
    """Before anything is sent; the reason names the host, and not where it led."""
    async with client(*addresses) as (http, _):
        with pytest.raises(AddressRefusedError, match=r"crm\.test leads to no public") as raised:
            await http.get(f"{scheme}://crm.test:{inside.port}/")
    assert inside.hosts == []
    assert not any(address in str(raised.value) for address in addresses)
    assert isinstance(raised.value, CredentialsRefusedError)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.2]",
        "2130706434",
        "0x7f000002",
        "127.2",
        "127.0.0.2.",
        "0",
    ],
)
async def test_an_address_that_is_not_allowed_is_refused(inside: Inside, host: str) -> None:
    """However it is written; nobody is asked to resolve it."""
    async with client("127.0.0.1") as (http, names):
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://{host}:{inside.port}/")
    assert inside.hosts == []
    assert names.asked == []


async def test_of_several_addresses_only_the_allowed_are_called(inside: Inside) -> None:
    """A name with one foot inside is judged by its other one."""
    async with client("127.0.0.2", "127.0.0.1", "10.0.0.1") as (http, _):
        assert (await http.get(f"http://crm.test:{inside.port}/")).status_code == 200
    assert inside.hosts == ["127.0.0.1"]


async def test_a_name_that_is_bound_anew_is_judged_anew(inside: Inside) -> None:
    """What was public yesterday may lead inside today."""
    async with client("127.0.0.1") as (http, names):
        await http.get(f"http://crm.test:{inside.port}/")
        names.addresses = ("127.0.0.2",)
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://other.test:{inside.port}/")
    assert inside.hosts == ["127.0.0.1"]


async def test_the_address_is_judged_that_is_connected_to(inside: Inside) -> None:
    """Even if it changes after the resolver's answer was judged, and before the connection."""

    def rebind(found: list[ResolveResult]) -> None:
        def change() -> None:
            for one in found:
                one["host"] = "127.0.0.2"

        asyncio.get_running_loop().call_soon(change)

    async with client("127.0.0.1") as (http, names):
        names.after = rebind
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://crm.test:{inside.port}/")
    assert inside.hosts == []


async def test_a_redirect_is_not_followed(inside: Inside) -> None:
    """The reply is what the adapter sees."""
    async with client("127.0.0.1") as (http, names):
        reply = await http.get(f"http://crm.test:{inside.port}/away")
    assert reply.status_code == 302
    assert names.asked == ["crm.test"]


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://0x7f000002:{port}/"],
)
async def test_a_redirect_would_be_judged_too(inside: Inside, location: str) -> None:
    """A client that does follow meets the same guard at every hop."""
    inside.location = location.format(port=inside.port)
    async with client("127.0.0.1") as (http, _):
        with pytest.raises(AddressRefusedError):
            await http.get(f"http://crm.test:{inside.port}/away", follow_redirects=True)
    assert inside.hosts == ["127.0.0.1"]


async def test_a_redirect_to_a_name_that_leads_inside_is_refused(inside: Inside) -> None:
    """The name is resolved, and its address judged."""
    inside.location = f"http://inside.test:{inside.port}/"
    async with client("127.0.0.1") as (http, names):
        names.after = lambda _: setattr(names, "addresses", ("127.0.0.2",))
        with pytest.raises(AddressRefusedError, match=r"inside\.test"):
            await http.get(f"http://crm.test:{inside.port}/away", follow_redirects=True)
    assert inside.hosts == ["127.0.0.1"]


@pytest.mark.parametrize("url", ["ftp://crm.test/", "file:///etc/passwd", "ws://crm.test/"])
async def test_other_schemes_are_refused(url: str) -> None:
    """Only HTTP is spoken."""
    async with client("127.0.0.1") as (http, names):
        with pytest.raises((AddressRefusedError, httpx.UnsupportedProtocol)):
            await http.get(url)
    assert names.asked == []


async def test_a_port_where_nobody_listens_is_no_refusal(inside: Inside) -> None:
    """It is a fault that may pass."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with client("127.0.0.1") as (http, _):
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://crm.test:{port}/")
    assert inside.hosts == []


async def test_no_proxy_is_taken_from_the_environment(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would connect in our place, to whatever it is told."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with client("127.0.0.1") as (http, _):
        assert (await http.get(f"http://crm.test:{inside.port}/")).status_code == 200


async def test_no_cookie_is_kept(inside: Inside) -> None:
    """It would be sent for every other account at the same host."""
    async with client("127.0.0.1") as (http, _):
        for _ in range(2):
            reply = await http.get(f"http://crm.test:{inside.port}/")
            assert "set-cookie" not in reply.headers
    assert not any(b"cookie" in request.lower() for request in inside.requests)
