"""The HTTP server: uvicorn as a guest of the process's event loop, on a socket of our own."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_BACKLOG = 512
_MOST_CONNECTIONS = 256
_GRACE = timedelta(seconds=5)
_LARGEST_HEAD = 64 * 1024


class HttpAddressError(RuntimeError):
    """An address cannot be listened on; the text names it."""


class HttpServer:
    """One HTTP server; started once, stopped once."""

    def __init__(self, address: str, application: ASGIApp, patience: timedelta) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            address: `host:port`; port 0 takes a free one.
            application: what is served.
            patience: how long a connection may do nothing, or not finish what it began; after
                between one and two of these it is closed.
        """
        self._address = address
        self._server = _GuestServer(_config(application, patience))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            HttpAddressError: the address cannot be listened on.
        """
        try:
            listening = _bound(self._address)
        except OSError as error:
            message = (
                f"Cannot bind to {self._address}: another program listens there, "
                "or it is no address of this machine."
            )
            raise HttpAddressError(message) from error
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")
        port: int = listening.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Take no more requests, and let those under way be answered."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def _config(application: ASGIApp, patience: timedelta) -> uvicorn.Config:
    class Protocol(_Impatient):
        seconds = patience.total_seconds()

    return uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        # What is no HTTP comes from anybody, and as often as they like: it leaves no line.
        log_level="error",
        access_log=False,
        # Whom a request comes from is what its connection says, never its headers.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=int(_GRACE.total_seconds()),
    )


def _bound(address: str) -> socket.socket:
    """Return a listening socket; uvicorn, left to bind by itself, ends the process if it cannot."""
    host, _, port = address.rpartition(":")
    # Without the protocol's number asyncio leaves Nagle's algorithm on: 40 ms for a long answer.
    found = socket.getaddrinfo(
        host.strip("[]") or None,
        int(port),
        type=socket.SOCK_STREAM,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, place = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class _GuestServer(uvicorn.Server):
    """A server that leaves the process's signal handlers to their owner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Impatient(HttpToolsProtocol):
    """Closes a connection that has not begun a new request for a whole period.

    uvicorn waits without end for headers, and for the rest of a body that was refused. A request
    that is being answered is left alone: reading its body has a limit of its own. Nor has its
    parser a limit to what is no body, and keeps it: headers, and what follows a body in parts.
    """

    seconds = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._seen: object = None
        self._kept = 0
        self._look = self.loop.call_later(self.seconds, self._end_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # What came before the connection was closed may still be handed over.
        if self.transport.is_closing():
            return
        self._kept += len(data)
        super().data_received(data)
        if self._kept > _LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._kept = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._kept = 0
        super().on_message_complete()

    def _end_idle(self) -> None:
        under_way = bool(self.cycle) and not self.cycle.response_complete
        if not under_way and self._seen is self.cycle:
            self.transport.abort()
            return
        # One that is answered between two looks has a whole period of its own then.
        self._seen = object() if under_way else self.cycle
        self._look = self.loop.call_later(self.seconds, self._end_idle)
