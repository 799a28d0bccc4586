"""The newest events of one organization, kept for all who watch it in this process."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, TypeVar

from crmsync_server.store.place import Key, Place
from crmsync_server.sync.pages import Event, Page

_KEPT = 2000  # events

View = TypeVar("View")

_key = attrgetter("place.key")


class Feed(Generic[View]):
    """Every event from a place on, up to what was settled when it was read last.

    Only so many are kept: a watcher that falls behind them reads from the database by itself.

    watchers: how many there are.
    moved: set when there is news, and then replaced.
    end: the place after all that was read; None before the first reading.
    settled: the transactions that were read, all below this one.
    turn: how often it began; whoever saw an earlier one cannot be sure of its place.
    """

    def __init__(self) -> None:
        """Begin empty, of an unknown place."""
        self.watchers = 0
        self.moved = asyncio.Event()
        self.end: Place | None = None
        self.settled = 0
        self.turn = 0
        self._start: Key | None = None
        self._events: list[Event[View]] = []

    def begin(self, place: Place, settled: int) -> None:
        """Start at a place, with nothing."""
        self.turn += 1
        self._start, self.end, self.settled = place.key, place, settled
        self._events = []
        self.announce()

    def append(self, page: Page[View], settled: int) -> None:
        """Add what came next."""
        self.end = page.end
        if not page.more:
            self.settled = settled
        if not page.events:
            return
        self._events += page.events
        if len(self._events) > 2 * _KEPT:
            self._start = self._events[-_KEPT - 1].place.key
            del self._events[:-_KEPT]
        self.announce()

    def lose(self) -> None:
        """Forget everything: the database was away, and may come back with another past."""
        self.end = self._start = None

    def after(self, place: Place) -> Sequence[Event[View]] | None:
        """Return what comes after a place; None when not all of it is kept here."""
        if self._start is None or place.key < self._start:
            return None
        return self._events[bisect_right(self._events, place.key, key=_key) :]

    def announce(self) -> None:
        """Wake whoever waits for news."""
        self.moved.set()
        self.moved = asyncio.Event()
