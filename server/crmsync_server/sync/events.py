"""The hub of events: one reader for each organization that is watched, however many watch it.

It reads what has become settled since it last looked, soon after each hint and now and then
without one, and keeps the newest events for every watcher. A watcher that begins further back, or
reads more slowly than events come, reads pages of its own until it has caught up. So no event is
held for anybody's sake, and none is stepped over.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import DrainingError
from crmsync_server.store import event
from crmsync_server.store.db import Database
from crmsync_server.store.event import Bounds
from crmsync_server.store.place import Start, later
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.feed import Feed
from crmsync_server.sync.pages import Event, Log, Pages

_BETWEEN_READS = 0.1
_POLL = 1.0

View = TypeVar("View")


class Told(NamedTuple, Generic[View]):
    """One message of a watch: an event, or None as a sign of life; and the token to go on with."""

    view: View | None
    token: str


class EventHub(Generic[View]):
    """Tells watchers what attempts end in, or whatever else a log holds."""

    def __init__(
        self, database: Database, render: Callable[[sa.Row[Any]], View], log: Log = event
    ) -> None:
        """Render each event once, however many watch it."""
        self._database = database
        self._log = log
        self._pages = Pages(database, render, log)
        self._feeds: dict[str, Feed[View]] = {}
        self._closing = asyncio.Event()
        self._rest = _BETWEEN_READS
        self._seen: Bounds | None = None
        self._duty = Duty("events", self._turn)

    def start(self) -> None:
        """Begin reading."""
        self._duty.start()

    async def stop(self) -> None:
        """End every watch with DrainingError, and stop reading."""
        self._closing.set()
        for feed in self._feeds.values():
            feed.announce()
        await self._duty.stop()

    def on_hint(self, hint: str | None) -> None:
        """Take a hint `org/anything`; None when any organization may have news."""
        if self._feeds and (hint is None or hint.rpartition("/")[0] in self._feeds):
            self._hurry()

    async def watch(
        self, org_id: str, start: Start, crm: str | None, patience: float
    ) -> AsyncGenerator[Told[View]]:
        """Yield a sign of life at the place where the watch begins, then each event after it.

        Yields another sign of life when nothing was told for patience seconds. Has no end.

        crm: tell only of this one; None means all.
        Raises ResumeTokenExpiredError when events after the token are no longer kept or the token
        is of another database, and DrainingError with a resume token when the hub stops.
        """
        clock = asyncio.get_running_loop().time
        with self._attend(org_id) as feed:
            watcher = _Watcher(org_id, self._pages, feed)
            await watcher.begin(start)
            yield Told(None, watcher.token)
            told = clock()
            while not self._closing.is_set():
                moved = feed.moved
                for one in await watcher.read():
                    if self._closing.is_set():
                        break
                    watcher.reach(one)
                    if crm is None or crm == one.crm:
                        yield Told(one.view, one.token)
                        told = clock()
                else:
                    watcher.turn_page()
                    if watcher.caught_up and not self._closing.is_set():
                        await _within(told + patience - clock(), moved)
                    if clock() >= told + patience:
                        yield Told(None, watcher.token)
                        told = clock()
            raise DrainingError(resume_token=watcher.token)

    def _hurry(self) -> None:
        self._rest = _BETWEEN_READS
        self._duty.wake()

    @contextmanager
    def _attend(self, org_id: str) -> Iterator[Feed[View]]:
        feed = self._feeds.setdefault(org_id, Feed())
        feed.watchers += 1
        self._hurry()
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if feed.watchers == 0 and self._feeds.get(org_id) is feed:
                del self._feeds[org_id]

    async def _turn(self) -> float:
        if not self._feeds:
            return _POLL
        before = self._seen
        try:
            bounds, more = await self._read()
        except BaseException:
            self._lose()
            raise
        if more:
            return 0.0
        await asyncio.sleep(_BETWEEN_READS)
        return self._pause(bounds, before)

    def _lose(self) -> None:
        for feed in self._feeds.values():
            feed.lose()

    async def _read(self) -> tuple[Bounds, bool]:
        """Move every feed on; return whether there is more to read at once."""
        more = False
        async with self._database.everyone() as connection:
            bounds = await self._log.bounds(connection)
            if self._seen is not None and not bounds.follow(self._seen):
                self._lose()
            self._seen = bounds
            for org_id, feed in list(self._feeds.items()):
                more |= await self._read_feed(connection, org_id, feed, bounds)
        return bounds, more

    async def _read_feed(
        self, connection: AsyncConnection, org_id: str, feed: Feed[View], bounds: Bounds
    ) -> bool:
        if feed.end is None:
            feed.begin(await self._log.last(connection, org_id, bounds), bounds.settled)
            return False
        if feed.settled == bounds.settled:
            return False
        page = await self._pages.read(connection, org_id, feed.end, bounds)
        feed.append(page, bounds.settled)
        return page.more

    def _pause(self, bounds: Bounds, before: Bounds | None) -> float:
        """Return when to look again: soon while transactions end, later while none does."""
        if not bounds.unsettled:
            return _POLL
        moving = before is None or bounds.settled != before.settled
        self._rest = _BETWEEN_READS if moving else min(2 * self._rest, _POLL)
        return self._rest


class _Watcher(Generic[View]):
    """How far one watcher has come, and where it reads on."""

    def __init__(self, org_id: str, pages: Pages[View], feed: Feed[View]) -> None:
        self.caught_up = False
        self._org_id = org_id
        self._pages = pages
        self._feed = feed

    @property
    def token(self) -> str:
        """The token of the place that it has come to."""
        return self._pages.token(self._org_id, self._system, self._place)

    async def begin(self, start: Start) -> None:
        """Find the place where it begins."""
        self._turn = self._feed.turn
        self._system, self._place = await self._pages.begin(self._org_id, start)
        self._end = self._place

    async def read(self) -> Sequence[Event[View]]:
        """Return what comes next, from the feed when that has it all."""
        if self._feed.turn != self._turn and self._turn:
            await self.begin(self._pages.start(self._org_id, self.token))
        self._turn = self._feed.turn
        kept = self._feed.after(self._place)
        if kept is not None and self._feed.end is not None:
            self._end, self.caught_up = later(self._place, self._feed.end), True
            return kept
        page = await self._pages.after(self._org_id, self._place)
        self._end, self.caught_up = page.end, not page.more
        return page.events

    def reach(self, one: Event[View]) -> None:
        """Come to the place after an event."""
        self._place = one.place

    def turn_page(self) -> None:
        """Come to the place after all that was read."""
        self._place = self._end


async def _within(seconds: float, moved: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await moved.wait()
