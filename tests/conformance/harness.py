"""What the conformance suite stands on: a simulated CRM, an adapter for it, and ways to meddle."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import httpx
import pytest_asyncio
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm.adapter import Account, Adapter, AdapterFactory, Delivery, Tools
from crmsync_server.crm.outcomes import Accepted, Outcome
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.simulator import Simulator
from tests.crm.support import SECRET, Purse, Rations

_SETTLED_WITHIN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Held:
    """A contact as a CRM holds it."""

    email: str
    first_name: str
    last_name: str
    company: str = ""


class Emptied(AiohttpTransport):
    """Lets every request through and empties the answers to those that write."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a write with 200 and an empty object, whatever the CRM answered."""
        response = await super().handle_async_request(request)
        if request.method == "GET":
            return response
        await response.aclose()
        return httpx.Response(200, json={}, request=request)


class Harness:
    """One CRM under test; the class attributes are what a subclass says about its CRM."""

    crm: ClassVar[str]
    build: ClassVar[AdapterFactory]
    options: ClassVar[Mapping[str, str]] = {}
    secrets: ClassVar[Mapping[str, str]] = {"token": SECRET, "api_key": SECRET}
    container: ClassVar[str]
    names: ClassVar[tuple[str, str, str]]
    """How the simulator calls first name, last name and company, inside `container`."""
    writes_at: ClassVar[str] = "*"
    """A glob over the paths of requests that write by POST, where others read by POST."""

    sandbox: Sandbox
    client: httpx.AsyncClient
    quota: Rations

    @pytest_asyncio.fixture(autouse=True, loop_scope="module")
    async def _client(self, sandbox: Sandbox) -> AsyncIterator[None]:
        self.sandbox = sandbox
        self.simulator.reset()
        self.simulator.calls.clear()
        self.simulator.faults.clear_script()
        self.turn()
        self.quota = Rations()
        async with httpx.AsyncClient(transport=AiohttpTransport()) as self.client:
            yield

    @property
    def simulator(self) -> Simulator:
        """The simulated CRM of this class."""
        simulator: Simulator = getattr(self.sandbox, self.crm)
        return simulator

    def adapter(self, client: httpx.AsyncClient | None = None, *, base_url: str = "") -> Adapter:
        """Build the adapter for the simulator, with a time-out that tests can wait for."""
        options = {"timeout_seconds": "1", **self.options}
        url = base_url or self.sandbox.urls[self.crm]
        tools = Tools(client or self.client, _now, self.quota, Purse(_now))
        return type(self).build(Account("org-1", self.crm, url, self.secrets, options), tools)

    def unreachable(self) -> Adapter:
        """Build the adapter for a port that nobody listens on."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return self.adapter(base_url=f"http://127.0.0.1:{port}")

    @property
    def writes(self) -> int:
        """How many requests that write have reached the simulator."""
        return int(self.simulator.calls.as_json()["writes"])

    def held(self) -> dict[str, Held]:
        """Return what the CRM holds, by address."""
        first, last, company = self.names
        held = {}
        for contact in self.simulator.contacts():
            if contact.get("archived"):
                continue
            values = contact[self.container]
            shown = [str(values.get(name) or "") for name in (first, last, company)]
            held[contact["email"]] = Held(contact["email"], *shown)
        return held

    def turn(self, **settings: object) -> None:
        """Turn the fault dial of the simulator."""
        self.simulator.faults.settings = FaultSettings.model_validate(settings)

    def fail_write(self, **fault: object) -> None:
        """Let the next request that writes meet a fault."""
        self.fail(**{"method": "POST", "path": self.writes_at, **fault})

    def fail(self, **fault: object) -> None:
        """Let the next request meet a fault; the fault may name its method, path and times."""
        self.simulator.faults.script(ScriptedFault.model_validate(fault))

    async def deliver(self, adapter: Adapter, batch: Sequence[Delivery]) -> list[Outcome]:
        """Push a batch and ask after what was accepted until all of it is settled."""
        outcomes = list(await adapter.push(batch))
        async with asyncio.timeout(_SETTLED_WITHIN_SECONDS):
            while tickets := {o.ticket for o in outcomes if isinstance(o, Accepted)}:
                await asyncio.gather(*(self._settle(adapter, batch, outcomes, t) for t in tickets))
        return outcomes

    @staticmethod
    async def _settle(
        adapter: Adapter, batch: Sequence[Delivery], outcomes: list[Outcome], ticket: str
    ) -> None:
        at = [n for n, o in enumerate(outcomes) if isinstance(o, Accepted) and o.ticket == ticket]
        settled = await adapter.settle(ticket, [batch[n] for n in at])
        for n, outcome in zip(at, settled, strict=True):
            outcomes[n] = outcome


def _now() -> datetime:
    return datetime.now(UTC)
