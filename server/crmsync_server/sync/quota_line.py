"""A bucket in this process: the calls in its hands, and who waits for one, in order."""

import asyncio
from bisect import insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from crmsync_server.crm.adapter import Allowance
from crmsync_server.sync.quota_book import Call
from crmsync_server.sync.quota_clock import SharedClock
from crmsync_server.sync.quota_rules import Rules

_LEAST_PAUSE = 0.01
# Limits may be raised and calls given back elsewhere, however long ago it was told to wait.
_ASKED_AGAIN = 2.0
_number = count()


@dataclass(slots=True, order=True)
class Waiter:
    """Somebody who waits: the urgent first, then in the order of arrival."""

    patient: bool
    number: int = field(default_factory=lambda: next(_number))
    moved: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


@dataclass(slots=True)
class News:
    """What is to be noted with the next grant; moments by this process's own clock.

    told: the newest of what was told; since: when the first of it was.
    unspent: granted calls that nobody has made.
    """

    told: tuple[float, Allowance] | None = None
    since: float | None = None
    refused: tuple[float, timedelta] | None = None
    unspent: list[Call] = field(default_factory=list)

    def hear(self, now: float, told: Allowance) -> None:
        """Take what a reply told."""
        self.told = (now, told)
        self.since = now if self.since is None else self.since

    def older(self, earlier: "News") -> None:
        """Take back news that could not be noted."""
        self.told = self.told or earlier.told
        self.since = self.since if earlier.since is None else earlier.since
        self.refused = self.refused or earlier.refused
        self.unspent = earlier.unspent + self.unspent


class Line:
    """One bucket's calls and waiters."""

    def __init__(self, rules: Rules, clock: SharedClock) -> None:
        """Begin with empty hands."""
        self.rules = rules
        self.news = News()
        self.answers = 0
        self._clock = clock
        self._calls: list[Call] = []
        self._waiting: list[Waiter] = []
        self._size = 1
        self._closed = {False: 0.0, True: 0.0}
        self._closed_since = 0.0

    @contextmanager
    def stand(self, *, urgent: bool) -> Iterator[Waiter]:
        """Stand in line for as long as the block lasts."""
        waiter = Waiter(patient=not urgent)
        insort(self._waiting, waiter)
        try:
            yield waiter
        finally:
            self._waiting.remove(waiter)
            if self._waiting:
                self._waiting[0].moved.set()

    def is_first(self, waiter: Waiter) -> bool:
        """Tell whether it is somebody's turn."""
        return self._waiting[0] is waiter

    def behind(self, waiter: Waiter) -> float:
        """Return the seconds that the calls of those before somebody take, at the steady rate."""
        return (self._waiting.index(waiter) + 1) * self.rules.period / self.rules.calls

    def spend(self, now: float) -> Call | float | None:
        """Return a call that may be made now, or from when on one may be, or None."""
        self._drop_late(now)
        if not self._calls:
            return None
        may_be_made = self._clock.surely_after(self._calls[0].at)
        return self._calls.pop(0) if may_be_made <= now else may_be_made

    def closed_until(self, now: float, *, urgent: bool) -> float:
        """Return until when nothing is granted, by the last answer; a past time to ask again."""
        return self._closed[urgent] if now < self._closed_since + _ASKED_AGAIN else 0.0

    def wanted(self, *, urgent: bool) -> int:
        """Return how large a lot to ask for: twice the last one, if that was used up in time."""
        if urgent:
            return sum(not waiter.patient for waiter in self._waiting)
        return min(max(self._size, len(self._waiting)), self.rules.most)

    def granted(self, calls: Sequence[Call]) -> None:
        """Take a lot."""
        self.answers += 1
        for call in calls:
            insort(self._calls, call)
        self._size = min(self._size * 2, self.rules.most)
        self._closed = {False: 0.0, True: 0.0}

    def refused(self, until: float, now: float, *, urgent: bool) -> None:
        """Remember until when nothing is granted; what the urgent cannot have, nobody can."""
        self.answers += 1
        self._closed_since = now
        for kind in {False, urgent}:
            self._closed[kind] = max(until, now + _LEAST_PAUSE)

    def give_back(self, calls: Sequence[Call] | None = None) -> None:
        """Lay down calls, all in hand by default: they will be noted as never made."""
        if calls is None:
            calls, self._calls = self._calls, []
        self.news.unspent.extend(calls)

    def hand_back(self, calls: Sequence[Call]) -> None:
        """Take back calls that were spent and not made: others may make them."""
        for call in calls:
            insort(self._calls, call)

    def _drop_late(self, now: float) -> None:
        while self._calls and self._clock.surely_before(self._calls[0].deadline) < now:
            self.news.unspent.append(self._calls.pop(0))
            self._size = max(1, self._size // 2)


async def moved(waiter: Waiter, seconds: float) -> None:
    """Wait until it may be somebody's turn, or so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await waiter.moved.wait()
    waiter.moved.clear()
