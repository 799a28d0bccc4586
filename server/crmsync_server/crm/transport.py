"""The transport that adapters' clients run on: it connects to allowed addresses only."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import aiohttp
import httpx
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm.addresses import AddressRefusedError, Networks, check_literal, is_allowed


class GuardedTransport(AiohttpTransport):
    """Refuses, as the connection is made, every address that is not allowed.

    It raises AddressRefusedError then. It takes no proxy from the environment, since a proxy
    would connect to anything, and keeps no cookies: accounts that share a host share no session.
    """

    def __init__(
        self,
        allowed: Networks = (),
        *,
        limits: httpx.Limits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Take the networks that are allowed besides public ones; resolver: the system's."""
        super().__init__(limits=limits or httpx.Limits())
        self._allowed = allowed
        self._resolver = resolver

    def get_client(self) -> aiohttp.ClientSession:
        """Return the session, made within the running loop."""
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
            resolver=_Filter(self._resolver or aiohttp.ThreadedResolver(), self._allowed),
            socket_factory=self._socket,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one request; raises AddressRefusedError besides httpx's errors."""
        if request.url.scheme not in {"http", "https"}:
            msg = f"the URL must begin with https:// or http://, not {request.url.scheme}:"
            raise AddressRefusedError(msg)
        try:
            check_literal(request.url.host, self._allowed)
        except ValueError as reason:
            raise AddressRefusedError(str(reason)) from reason
        try:
            response = await super().handle_async_request(request)
        except httpx.TransportError as fault:
            if any(isinstance(cause, _NotAllowedError) for cause in _causes(fault)):
                raise AddressRefusedError(_leads_inside(request.url.host)) from None
            raise
        # The client would keep them, and send them for every other account at this host.
        response.headers.pop("set-cookie", None)
        return response

    def _socket(self, told: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = told
        # The one place that every connection passes, with the address that it goes to.
        if not is_allowed(ip_address(address[0]), self._allowed):
            raise _NotAllowedError
        return socket.socket(family, kind, protocol)


class _NotAllowedError(OSError):
    """An address is not allowed; an OSError, so that a host's other addresses are tried."""


class _Filter(AbstractResolver):
    """Leaves out addresses that are not allowed, so that a host is judged by what is left."""

    def __init__(self, resolver: AbstractResolver, allowed: Networks) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        left = [one for one in found if is_allowed(ip_address(one["host"]), self._allowed)]
        if found and not left:
            raise _NotAllowedError
        return left

    async def close(self) -> None:
        await self._resolver.close()


def _causes(fault: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = fault
    while cause is not None:
        yield cause
        if isinstance(cause, aiohttp.ClientConnectorError):
            yield cause.os_error
        cause = cause.__cause__


def _leads_inside(host: str) -> str:
    # Not to which address: a tenant is not to explore the names of our network.
    return f"{host} leads to no public address, and this server does not allow its network"
