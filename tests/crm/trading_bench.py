"""The Trading CRM's adapter against a simulated broker, or against a script."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm import trading
from crmsync_server.crm.adapter import Account, Tools
from crmsync_server.crm.trading import TradingAdapter
from crmsync_server.crm.trading_leads import TradingLeads
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading import Trading, TradingSettings
from tests.crm.support import NOW, SECRET, Purse, Rations, ScriptedCrm

LOGIN = {"username": "sandbox", "password": SECRET}
KEY = {"token": SECRET}


@dataclass(slots=True)
class Bench:
    """A simulated broker and an adapter for it; now: what both take for the time."""

    now: datetime
    sandbox: Sandbox
    client: httpx.AsyncClient

    @property
    def broker(self) -> Trading:
        """The simulated broker."""
        return self.sandbox.trading

    def adapter(self, secrets: dict[str, str] | None = None, **options: str) -> TradingAdapter:
        """Build an adapter."""
        url = self.sandbox.urls["trading"]
        account = Account("org-1", "trading", url, LOGIN if secrets is None else secrets, options)
        purse = Purse(lambda: self.now)
        return trading.build(account, Tools(self.client, lambda: self.now, Rations(), purse))

    def count(self, path: str) -> int:
        """Count the calls of a path, whatever their answers."""
        calls = self.broker.calls.as_json()["calls"]
        return sum(call["count"] for call in calls if call["path"] == path)


@asynccontextmanager
async def bench(**settings: float | bool) -> AsyncIterator[Bench]:
    """Run a simulated broker whose clock stands until it is moved."""
    made: list[Bench] = []
    broker = TradingSettings(password=SECRET, static_key=SECRET, **settings)  # type: ignore[arg-type]

    def clock() -> datetime:
        return made[0].now if made else NOW

    async with (
        Sandbox(trading=broker, clock=clock) as sandbox,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
    ):
        made.append(Bench(NOW, sandbox, client))
        yield made[0]


def scripted(
    respond: Callable[[httpx.Request], httpx.Response],
) -> tuple[TradingLeads, ScriptedCrm]:
    """Return the leads of a CRM that answers as a function says, and what it was asked."""
    crm = ScriptedCrm(respond)
    account = Account("org-1", "trading", "https://broker.test", KEY)
    return trading.build(account, crm.tools()).leads, crm
