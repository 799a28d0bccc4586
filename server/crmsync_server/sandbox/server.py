"""Running the simulated CRMs inside an event loop that belongs to somebody else."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from crmsync_server.sandbox.brevo import Brevo, BrevoSettings
from crmsync_server.sandbox.clock import Clock, utc_now
from crmsync_server.sandbox.gateway import Gateway
from crmsync_server.sandbox.hubspot import HubSpot, HubSpotSettings
from crmsync_server.sandbox.mautic import Mautic, MauticSettings
from crmsync_server.sandbox.n8n import N8n, N8nSettings
from crmsync_server.sandbox.trading import Trading, TradingSettings
from crmsync_server.sandbox.whatsapp import WhatsApp, WhatsAppSettings
from crmsync_server.sandbox.zoho import Zoho, ZohoSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from crmsync_server.sandbox.simulator import Simulator

_HOST = "127.0.0.1"
_BACKLOG = 512
_TICK = 1.0  # seconds between two looks at the time, for the headers that tell it
_GRACE = 1.0  # seconds for what is being answered


class Sandbox:
    """All simulated CRMs, each on a listener of its own on the loopback interface.

    Use it as an async context manager, or call `start` and `stop`; `urls` then says where each
    CRM's API begins. The attributes named after the CRMs are the simulators themselves, and
    `simulators` holds them all by name: their `faults`, `calls` and `contacts()` are what
    `/_sandbox/*` serves.
    """

    def __init__(  # noqa: PLR0913 - the settings of each CRM
        self,
        *,
        hubspot: HubSpotSettings | None = None,
        brevo: BrevoSettings | None = None,
        mautic: MauticSettings | None = None,
        n8n: N8nSettings | None = None,
        zoho: ZohoSettings | None = None,
        trading: TradingSettings | None = None,
        whatsapp: WhatsAppSettings | None = None,
        ports: Mapping[str, int] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Set up the CRMs; nothing listens before `start`.

        Args:
            hubspot: settings of the portal.
            brevo: settings of the account.
            mautic: settings of the instance.
            n8n: settings of the instance, and its workflows.
            zoho: settings of the organization, and of the client that was granted access.
            trading: settings of the broker, and of the affiliate that uses it.
            whatsapp: settings of the business, its app and its account.
            ports: where a CRM listens, by its name; 0 and absent take a free port.
            clock: where the simulators read the time.

        Raises:
            KeyError: a port is given for a CRM that is not simulated.
        """
        self.hubspot = HubSpot(hubspot or HubSpotSettings(), clock)
        self.brevo = Brevo(brevo or BrevoSettings(), clock)
        self.mautic = Mautic(mautic or MauticSettings(), clock)
        self.n8n = N8n(n8n or N8nSettings(), clock)
        self.zoho = Zoho(zoho or ZohoSettings(), clock)
        self.trading = Trading(trading or TradingSettings(), clock)
        self.whatsapp = WhatsApp(whatsapp or WhatsAppSettings(), clock)
        crms: tuple[Simulator, ...] = (
            self.hubspot,
            self.brevo,
            self.mautic,
            self.n8n,
            self.zoho,
            self.trading,
            self.whatsapp,
        )
        self.simulators = {crm.name: crm for crm in crms}
        self.urls: dict[str, str] = {}
        self._ports = dict.fromkeys(self.simulators, 0)
        for name, port in (ports or {}).items():
            if name not in self._ports:
                raise KeyError(name)
            self._ports[name] = port
        self._listeners: list[_Listener] = []

    async def start(self) -> None:
        """Listen on every CRM's port, and fill in `urls`.

        Raises:
            OSError: a port is taken; nothing is left listening.
        """
        try:
            urls = {name: await self._listen(crm) for name, crm in self.simulators.items()}
        except OSError:
            await self.stop()
            raise
        self.urls = urls

    async def stop(self) -> None:
        """Stop listening; requests that hang are cut off. What is held stays readable."""
        async with asyncio.TaskGroup() as stopping:
            for listener in self._listeners:
                stopping.create_task(listener.stop())
        self._listeners.clear()
        self.urls = {}

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    async def _listen(self, crm: Simulator) -> str:
        listener = _Listener(crm, self._ports[crm.name])
        await listener.start()
        self._listeners.append(listener)
        return f"http://{_HOST}:{listener.port}{crm.api_path}"


class _Listener:
    """One simulated CRM on one port."""

    def __init__(self, crm: Simulator, port: int) -> None:
        self._crm = crm
        self.port = port

    async def start(self) -> None:
        listening = _bind(self.port)
        self.port = listening.getsockname()[1]
        self._gateway = Gateway(self._crm)
        config = uvicorn.Config(
            self._gateway,
            http=_AbortableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        self._server = _GuestServer(config)
        await self._crm.start()
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def stop(self) -> None:
        self._gateway.close()
        self._server.leave()
        await self._serving
        await self._crm.stop()


def _bind(port: int) -> socket.socket:
    """Return a bound socket; uvicorn, left to bind by itself, ends the process when it cannot."""
    # Without the protocol's number asyncio leaves Nagle's algorithm on: 40 ms for a long answer.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_HOST, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class _GuestServer(uvicorn.Server):
    """A server that leaves the process's signal handlers to their owner.

    It stops as soon as it is told to: uvicorn looks ten times a second whether it is, and then
    rests for a tenth of one, which is half the time of a test.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._left = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._left.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._left.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._refuse(sockets or [])
        for _ in range(2):
            for connection in list(self.server_state.connections):
                connection.shutdown()
            await asyncio.sleep(0)
        await self._end(set(self.server_state.tasks))

    async def _refuse(self, sockets: Sequence[socket.socket]) -> None:
        """Take no more connections; those that were taken a moment ago become known first."""
        loop = asyncio.get_running_loop()
        for one in sockets:
            loop.remove_reader(one)
        for _ in range(3):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for one in sockets:
            one.close()

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        """Let what is being answered end, and cut off what hangs."""
        if not tasks:
            return
        _, hanging = await asyncio.wait(tasks, timeout=_GRACE)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        for connection in list(self.server_state.connections) if hanging else ():
            connection.transport.abort()


class _AbortableProtocol(H11Protocol):
    """Hands each request its connection, so that a fault can close it without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
