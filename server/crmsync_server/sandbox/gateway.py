"""The way into a simulated CRM: delay, credentials, limits, faults, and only then the CRM."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.routing import Match

from crmsync_server.sandbox.inspection import PREFIX, Inspection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from crmsync_server.sandbox.faults import Fault
    from crmsync_server.sandbox.simulator import Simulator


class Gateway:
    """An ASGI application: one simulated CRM with everything that stands in front of it."""

    def __init__(self, crm: Simulator) -> None:
        """Stand in front of this CRM."""
        self._crm = crm
        self._routes = list(crm.routes())
        self._app = crm.build_app([*self._routes, *Inspection(crm).routes()])
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._silenced: set[asyncio.Transport] = set()

    def close(self) -> None:
        """End every request that waits or hangs, so that the listener can stop."""
        self._closed.set_result(None)
        for transport in list(self._silenced):
            transport.abort()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or deliberately not."""
        if scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._app)
        template = self._template(scope)
        await self._wait(self._crm.faults.settings.latency_seconds)
        outcome = await self._serve(visit)
        write = self._crm.is_write(visit.request.method, template)
        self._crm.calls.record(visit.request.method, template, outcome, write=write)
        if visit.unanswered is not None:
            await self._leave(visit, abort=visit.unanswered.kind == "drop")

    async def _serve(self, visit: _Visit) -> str:
        refusal = self._crm.authenticate(visit.request)
        if refusal is not None:
            return await visit.answer(refusal)
        admission = self._crm.admit(visit.request)
        visit.headers = admission.headers
        if admission.refusal is not None:
            return await visit.answer(admission.refusal)
        fault = self._crm.faults.draw(visit.request.method, visit.request.url.path)
        if fault is None:
            return await visit.answer(self._app)
        return await self._spoil(visit, fault)

    async def _spoil(self, visit: _Visit, fault: Fault) -> str:
        await self._wait(fault.delay_seconds)
        if fault.kind == "delay":
            return await visit.answer(self._app)
        if fault.applied:
            await visit.apply()
        if fault.kind == "status":
            return await visit.answer(self._crm.failure(fault))
        visit.unanswered = fault
        return fault.label

    async def _leave(self, visit: _Visit, *, abort: bool) -> None:
        transport = visit.transport
        self._silenced.add(transport)
        try:
            if abort or self._closed.done():
                transport.abort()
            await visit.wait_for_disconnect()
        finally:
            self._silenced.discard(transport)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await asyncio.wait([self._closed], timeout=seconds)

    def _template(self, scope: Scope) -> str:
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return route.path
        return "(unknown)"


class _Visit:
    """One request on its way through the gateway."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        self.request = Request(scope)
        self.transport: asyncio.Transport = scope["state"]["transport"]
        self.headers: Mapping[str, str] = {}
        self.unanswered: Fault | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._app = app
        self._outcome = ""

    async def answer(self, app: ASGIApp) -> str:
        """Let an application answer, and return the status it answered with."""
        await app(self._scope, self._receive, self._send_with_headers)
        return self._outcome

    async def apply(self) -> None:
        """Let the request take effect, and keep its answer from the caller."""
        await self._app(self._scope, self._receive, _discard)

    async def wait_for_disconnect(self) -> None:
        """Return once the caller has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            continue

    async def _send_with_headers(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._outcome = str(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers.setdefault(name, value)
        await self._send(message)


async def _discard(message: Message) -> None:
    """Take a message that nobody is to see."""
    del message
