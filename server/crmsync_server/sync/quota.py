"""One account's allowance as an adapter sees it, shared with every other process.

The books are rows in Postgres. A process locks one, is granted a lot of calls, and spends them by
itself: most calls cost no round trip. What replies say of the allowance is noted with the next lot.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import structlog

from crmsync_server.crm.adapter import Allowance, Limit, QuotaExhaustedError
from crmsync_server.store import quota
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.store.quota import Book
from crmsync_server.sync.quota_book import Call, Wanted, fresh, give_back, grant, roll
from crmsync_server.sync.quota_clock import SharedClock
from crmsync_server.sync.quota_learning import Refused, Told, learn, refuse
from crmsync_server.sync.quota_line import Line, News, Waiter, moved
from crmsync_server.sync.quota_rules import rules
from crmsync_server.sync.stopwatch import running

_log = structlog.get_logger()

_PATIENCE = 5.0
_NOTED_WITHIN = 5.0
_LONGEST_LAG = 1.0
_AFTER_FAULT = 5.0
HIGH_SHARE = 0.1

urgent: ContextVar[bool] = ContextVar("urgent", default=False)
"""Whether calls are made for records of priority HIGH: they may use what is kept for them."""


@contextmanager
def urgently() -> Iterator[None]:
    """Make the calls of a block, and of the tasks that it starts, as urgent ones."""
    token = urgent.set(True)
    try:
        yield
    finally:
        urgent.reset(token)


class AccountQuota:
    """The shared allowance of one organization at one CRM, over all replicas."""

    def __init__(
        self, database: Database, org_id: str, crm: str, high_share: float = HIGH_SHARE
    ) -> None:
        """Draw on the rows of this account; limit() says what it has.

        high_share: what is kept of each bucket for urgent calls, from 0 to 1; of a window of a
            minute and less a quarter of it while there are none.
        """
        self._database = database
        self._org_id = org_id
        self._crm = crm
        self._share = high_share
        self._lines: dict[str, Line] = {}
        self._clock = SharedClock()
        self._asking = asyncio.Lock()
        self._lag = 0.0

    def limit(self, limits: Sequence[Limit]) -> None:
        """Take over what the adapter declares; what the CRM has told since comes before it."""
        lines = {}
        for limit in limits:
            kept = rules(limit, self._share)
            line = self._lines.get(limit.bucket) or Line(kept, self._clock)
            line.rules = kept
            lines[limit.bucket] = line
        self._lines = lines

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Wait for the calls to be allowed; a bucket without a limit is free.

        The first who came is served first, urgent calls before all others. A call that is cancelled
        while it waits has taken nothing.

        Raises QuotaExhaustedError when the wait would be longer than a few seconds.
        """
        line = self._lines.get(bucket)
        if line is None:
            return
        watch = running.get()
        taken: list[Call] = []
        try:
            with watch.paused() if watch else nullcontext():
                for _ in range(calls):
                    taken.append(await self._take_one(line))  # noqa: PERF401 - it is given back if not all are had
        except BaseException:
            line.hand_back(taken)
            raise

    def learn(self, told: Allowance) -> None:
        """Take over what the CRM itself said of a bucket, for all replicas; noted before long."""
        if line := self._lines.get(told.bucket):
            line.news.hear(_now(), told)

    def refused(self, bucket: str, until: datetime) -> None:
        """Give way after a 429: nothing is granted to anybody until then, and less afterwards.

        Noted with the next call that anybody here asks for, or by tell().
        """
        if line := self._lines.get(bucket):
            line.give_back()
            line.news.refused = (_now(), until - datetime.now(UTC))

    async def tell(self) -> None:
        """Note at once what was learned, refused or left over, for the other replicas."""
        async with self._asking:
            lines = [line for line in self._lines.values() if line.news != News()]
            if lines:
                await self._note(lines, None, Wanted(0, urgent=False))

    async def _take_one(self, line: Line) -> Call:
        patience = _now() + _PATIENCE
        with line.stand(urgent=urgent.get()) as waiter:
            while True:
                again = patience
                if line.is_first(waiter):
                    found = await self._look(line, waiter)
                    if isinstance(found, Call):
                        return found
                    again = found
                now = _now()
                if again > patience or now >= patience:
                    raise _exhausted(line, max(again - now, line.behind(waiter)))
                await moved(waiter, again - now)

    async def _look(self, line: Line, waiter: Waiter) -> Call | float:
        """Return a call, or from when on to look again."""
        found = line.spend(_now())
        if isinstance(found, Call):
            return found
        # Who is urgent does not wait for a call of the pace while the reserve may have one.
        if found is not None and waiter.patient:
            return found
        now = _now()
        closed = line.closed_until(now, urgent=not waiter.patient)
        if closed > now:
            return closed if found is None else min(closed, found)
        answers = line.answers
        async with self._asking:
            if answers == line.answers:
                await self._ask(line, urgently=not waiter.patient)
        return _now()

    async def _ask(self, line: Line, *, urgently: bool) -> None:
        """Ask for a lot, and tell the news on the way."""
        began = _now()
        wanted = Wanted(line.wanted(urgent=urgently), urgently, self._lag)
        lines = [line, *(one for one in self._lines.values() if one is not line and _is_due(one))]
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._note(lines, line, wanted)
        except FAULTS as fault:
            _log.exception("no call could be granted", org_id=self._org_id, crm=self._crm)
            # Who stands behind need not find out by themselves.
            line.refused(_now() + _AFTER_FAULT, _now(), urgent=True)
            raise _exhausted(line, _AFTER_FAULT) from fault
        now = _now()
        # The longest lately: an answer that took that long may take as long again.
        self._lag = min(_LONGEST_LAG, max(now - began, 0.8 * self._lag))
        if isinstance(answer, float):
            line.refused(self._clock.surely_after(answer), now, urgent=urgently)
        else:
            line.granted(answer)

    async def _note(
        self, lines: Sequence[Line], asked: Line | None, wanted: Wanted
    ) -> Sequence[Call] | float:
        """Write the news of some buckets into their books, and draw on one of them."""
        lines = sorted(lines, key=lambda line: line.rules.bucket)
        taken = [line.news for line in lines]
        for line in lines:
            line.news = News()
        answer: Sequence[Call] | float = ()
        try:
            async with self._database.org(self._org_id) as connection:
                begun = [fresh(line.rules) for line in lines]
                sent = _now()
                books, now = await quota.lock(connection, self._org_id, self._crm, begun)
                self._clock.heard(sent, now, _now())
                for line, news, book in zip(lines, taken, books, strict=True):
                    roll(book, line.rules, now)
                    self._enter(book, line, news)
                    if line is asked:
                        answer = grant(book, line.rules, now, wanted)
                await quota.write(connection, self._org_id, self._crm, books)
        except BaseException:
            for line, news in zip(lines, taken, strict=True):
                line.news.older(news)
            raise
        return answer

    def _enter(self, book: Book, line: Line, news: News) -> None:
        give_back(book, line.rules, news.unspent)
        if news.told is not None:
            at, told = self._clock.shared(news.told[0]), news.told[1]
            reset = None if told.reset is None else at + told.reset.total_seconds()
            learn(book, line.rules, Told(at, told.calls, told.remaining, reset))
        if news.refused is not None:
            at, wait = self._clock.shared(news.refused[0]), news.refused[1].total_seconds()
            refuse(book, line.rules, Refused(at, at + wait))


def _is_due(line: Line) -> bool:
    """Tell whether a bucket's news should not wait for its own next lot."""
    news = line.news
    if news.refused is not None or (news.told is not None and news.told[1].remaining == 0):
        return True
    return news.since is not None and _now() - news.since > _NOTED_WITHIN


def _exhausted(line: Line, wait: float) -> QuotaExhaustedError:
    return QuotaExhaustedError(line.rules.bucket, datetime.now(UTC) + timedelta(seconds=wait))


def _now() -> float:
    return asyncio.get_running_loop().time()
