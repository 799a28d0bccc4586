"""Zoho's limits: credits in 24 hours, and how many calls may run at once.

A call costs what it carries, so its body is read before it is let in. Nothing tells a caller which
limit it met, or when to come back.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from crmsync_server.sandbox.zoho_errors import too_many_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from crmsync_server.sandbox.clock import Clock

_API = "/crm/"
_MODULES = ("/crm/v8/Contacts", "/crm/v8/Accounts")
_COQL = "/crm/v8/coql"
_BULK_READ = "/crm/bulk/v8/read"
_BULK_READ_CREDITS = 50
_RECORDS_PER_CREDIT = 10
_DAY = timedelta(hours=24)
_LIMIT = re.compile(r"\blimit\s+(?:\d+\s*,\s*)?(\d+)", re.IGNORECASE)
_COQL_PRICES = ((200, 1), (1000, 2))
_COQL_MOST = 3


@dataclass(frozen=True, slots=True)
class Price:
    """What a call takes: credits, and whether it is one of the kind that only few run at once."""

    credits: int
    heavy: bool


class Credits:
    """So many credits in any 24 hours."""

    def __init__(self, limit: int, clock: Clock) -> None:
        """Start with none used."""
        self.limit = limit
        self._clock = clock
        self._used: deque[tuple[datetime, int]] = deque()
        self._sum = 0

    @property
    def used(self) -> int:
        """How many were used in the last 24 hours."""
        horizon = self._clock() - _DAY
        while self._used and self._used[0][0] <= horizon:
            self._sum -= self._used.popleft()[1]
        return self._sum

    def use(self, number: int) -> None:
        """Use some."""
        self._used.append((self._clock(), number))
        self._sum += number

    def headers(self) -> dict[str, str]:
        """Return what is told of them: nothing, until half of them are used."""
        if self.used * 2 < self.limit:
            return {}
        return {"X-API-CREDITS-REMAINING": str(max(0, self.limit - self.used))}


class Meter:
    """Lets calls in, as long as there are credits and room."""

    def __init__(
        self,
        credits: Credits,  # noqa: A002 - Zoho's word
        *,
        concurrency: int,
        sub_concurrency: int,
        working_seconds: float,
    ) -> None:
        """Start with no call running.

        Args:
            credits: what calls are paid from.
            concurrency: how many calls may run at once.
            sub_concurrency: how many of them may be heavy: COQL, and writes of over ten records.
            working_seconds: how long each call runs, besides what it takes to do.
        """
        self.credits = credits
        self.concurrency = concurrency
        self.sub_concurrency = sub_concurrency
        self.working_seconds = working_seconds
        self.most_running = 0
        self._running = 0
        self._heavy = 0

    def has_room(self, price: Price) -> bool:
        """Say whether a call is let in now."""
        return (
            self.credits.used + price.credits <= self.credits.limit
            and self._running < self.concurrency
            and not (price.heavy and self._heavy >= self.sub_concurrency)
        )

    @contextmanager
    def running(self, price: Price) -> Iterator[None]:
        """Take what a call takes, and give its room back at the end."""
        self.credits.use(price.credits)
        self._running += 1
        self._heavy += price.heavy
        self.most_running = max(self.most_running, self._running)
        try:
            yield
        finally:
            self._running -= 1
            self._heavy -= price.heavy


class Metered:
    """Middleware: the API behind its limits."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        """Stand in front of an application."""
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or answer it with 429."""
        if not scope["path"].startswith(_API):
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        price = price_of(scope["method"], scope["path"], body)

        async def send_with_credits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._meter.credits.headers())
            await send(message)

        if not self._meter.has_room(price):
            await too_many_requests().as_response()(scope, receive, send_with_credits)
            return
        with self._meter.running(price):
            if self._meter.working_seconds:
                await asyncio.sleep(self._meter.working_seconds)
            await self._app(scope, _again(body, receive), send_with_credits)


def price_of(method: str, path: str, body: bytes) -> Price:
    """Return what a call takes; of a body that cannot be read, the least."""
    if method == "POST" and path == _COQL:
        found = _LIMIT.search(body.decode(errors="replace"))
        asked = int(found[1]) if found else 0
        prices = (price for most, price in _COQL_PRICES if asked <= most)
        return Price(next(prices, _COQL_MOST), heavy=True)
    if method == "POST" and path == _BULK_READ:
        return Price(_BULK_READ_CREDITS, heavy=False)
    if method in {"POST", "PUT"} and path.startswith(_MODULES):
        records = _records(body)
        return Price(max(1, -(-records // _RECORDS_PER_CREDIT)), records > _RECORDS_PER_CREDIT)
    return Price(1, heavy=False)


def _records(body: bytes) -> int:
    try:
        return len(json.loads(body)["data"])
    except (ValueError, KeyError, TypeError):
        return 0


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read once more."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
