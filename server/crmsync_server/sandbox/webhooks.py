"""Sending webhooks: what happened at a simulated CRM, posted to whoever subscribed."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import httpx

from crmsync_server.sandbox.wire import JsonObject

_REMEMBERED = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How a CRM sends; no CRM promises an order, or that it says a thing only once."""

    attempts: int = 3
    """How often a post is sent until it is answered with a status below 300."""
    retry_seconds: float = 0.1
    """Waited before a post is sent again."""
    timeout_seconds: float = 5
    reversed: bool = False
    """Whether a post has the newest event first."""
    repeats: int = 1
    """How often a post that was taken is sent in all."""


@dataclass(frozen=True, slots=True)
class Message:
    """A body with the headers that go with it."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """One post; no status means that there was no answer."""

    url: str
    message: Message
    status: int | None

    @property
    def taken(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and self.status < HTTPStatus.MULTIPLE_CHOICES


class Hook(Protocol):
    """Somebody who subscribed."""

    url: str

    @property
    def max_events(self) -> int:
        """How many events go into one post."""
        ...

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post; `attempt` counts from 0."""
        ...

    def answered(self, sent: Sent) -> None:
        """Learn what became of a post."""
        ...


class Sender:
    """Posts events in a task between `start` and `stop`; those of one moment share a post."""

    def __init__(self, settings: WebhookSettings) -> None:
        """Have nothing to send."""
        self.settings = settings
        self.sent: deque[Sent] = deque(maxlen=_REMEMBERED)
        """The latest posts, oldest first."""
        self._waiting: dict[int, tuple[Hook, deque[JsonObject]]] = {}
        self._awake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None

    def send(self, hook: Hook, events: Iterable[JsonObject]) -> None:
        """Queue events for a hook; they are posted as soon as the caller yields to the loop."""
        _, waiting = self._waiting.setdefault(id(hook), (hook, deque()))
        waiting.extend(events)
        if waiting:
            self._idle.clear()
            self._awake.set()

    async def flushed(self) -> None:
        """Return once nothing is left to send, be it taken or given up."""
        await self._idle.wait()

    def clear(self) -> None:
        """Forget what waits and what was sent."""
        self._waiting.clear()
        self.sent.clear()

    async def start(self) -> None:
        """Begin to send, with what an earlier stop left unsent."""
        self._awake, self._idle = asyncio.Event(), asyncio.Event()
        self._awake.set()
        self._worker = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """Stop sending; what waits is kept for the next start."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
            if not self._worker.cancelled():
                self._worker.result()

    async def _loop(self) -> None:
        await self._rest()
        # Not before: a client reads all certificates, 20 ms, and most of us never send anything.
        async with httpx.AsyncClient(timeout=self.settings.timeout_seconds) as client:
            while True:
                for hook, waiting in list(self._waiting.values()):
                    await self._send_some(client, hook, waiting)
                await self._rest()

    async def _rest(self) -> None:
        """Wait until there is something to send."""
        if not any(waiting for _, waiting in self._waiting.values()):
            self._waiting.clear()
            self._awake.clear()
            self._idle.set()
        await self._awake.wait()

    async def _send_some(
        self, client: httpx.AsyncClient, hook: Hook, waiting: deque[JsonObject]
    ) -> None:
        events = [waiting.popleft() for _ in range(min(hook.max_events, len(waiting)))]
        try:
            if events:
                await self._deliver(client, hook, events)
        except asyncio.CancelledError:
            waiting.extendleft(reversed(events))
            raise

    async def _deliver(
        self, client: httpx.AsyncClient, hook: Hook, events: list[JsonObject]
    ) -> None:
        told = events[::-1] if self.settings.reversed else events
        taken = 0
        for attempt in range(self.settings.attempts + self.settings.repeats - 1):
            sent = await self._post(client, hook.url, hook.compose(told, attempt))
            hook.answered(sent)
            taken += sent.taken
            if taken == self.settings.repeats:
                return
            if not sent.taken:
                await asyncio.sleep(self.settings.retry_seconds)
        if not taken:
            _log.warning("%d events for %s were given up", len(events), hook.url)

    async def _post(self, client: httpx.AsyncClient, url: str, message: Message) -> Sent:
        headers = {"Content-Type": "application/json", **message.headers}
        status: int | None = None
        try:
            reply = await client.post(url, content=message.body, headers=headers)
            status = reply.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.info("a webhook did not reach %s: %r", url, error)
        sent = Sent(url, message, status)
        self.sent.append(sent)
        return sent
