"""The workers of one lane in one process: as many as its CRM allows, while there is work."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar, cast

import structlog

from crmsync_server.sync.lane import Lane
from crmsync_server.sync.push import Batch

_log = structlog.get_logger()

_AFTER_FAULT = 1.0
_SEVERAL = 4
_LAST_WORDS = 15.0  # seconds to write down what became of calls that were given up

Answer = TypeVar("Answer")


class Crew:
    """Works on a lane when it is roused, until nothing is left.

    It begins with one worker; another joins only while whole batches wait. Where there are several
    places the last one is kept for what is urgent, so that it need not wait for a push to end;
    where there are few, it is next when one does.
    """

    def __init__(self, lane: Lane, turns: asyncio.Semaphore, when_idle: Callable[[], None]) -> None:
        """Take the lane; nobody works yet.

        turns: taken to claim, in turn by all lanes of this process.
        when_idle: told when something was delivered and no more is due.

        allowed: whether anything may be claimed; what is under way comes to its end all the same.
        """
        self.allowed = True
        self.lane = lane
        self._turns = turns
        self._when_idle = when_idle
        self._workers: set[asyncio.Task[None]] = set()
        self._others: dict[str, asyncio.Task[None]] = {}
        self._asked_again = False
        self._urgent_again = False
        self._stopping = False

    def rouse(self, *, urgent: bool = False) -> None:
        """See to it that somebody delivers."""
        if len(self._workers) <= self.lane.calls_under_way:
            # All wait for the CRM, or there is none: what has just become due must not wait too.
            self._hire()
        else:
            self._asked_again = True
        if urgent and self._most <= len(self._workers) < self.lane.deliverer.concurrency:
            self._urgent_again = True
            self._begin("express", self._express)

    def settle(self) -> None:
        """See to it that somebody asks what became of what the CRM took in for later."""
        self._begin("settle", self._settle)

    def probe(self) -> None:
        """See to it that somebody asks whether the CRM works again."""
        self._begin("probe", self._probe)

    async def stop(self, grace: float) -> None:
        """Claim nothing more; wait grace seconds, then give up the calls under way."""
        self._stopping = True
        tasks = {*self._workers, *self._others.values()}
        late = (await asyncio.wait(tasks, timeout=grace))[1] if tasks else ()
        if late:
            self.lane.give_up()
            late = (await asyncio.wait(late, timeout=_LAST_WORDS))[1]
        for task in late:
            _log.error("a worker does not stop; its records wait for their lease")
            task.cancel()

    @property
    def _most(self) -> int:
        """Return how many workers take what comes."""
        allowed = self.lane.deliverer.concurrency
        return allowed - 1 if allowed >= _SEVERAL else allowed

    def _hire(self) -> None:
        if self._stopping or len(self._workers) >= self._most:
            return
        name = f"deliver {self.lane.org_id}/{self.lane.crm}"
        self._workers.add(asyncio.create_task(self._worker(), name=name))

    async def _worker(self) -> None:
        try:
            await self._work()
        finally:
            # At once, not by a callback: whoever was roused before that ran would count on a worker
            # that looks at nothing any more.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _work(self) -> None:
        delivered = 0
        while not self._stopping and len(self._workers) <= self._most:
            self._asked_again = False
            claimed = await self._turn()
            delivered += claimed
            if claimed == 0 and not self._asked_again:
                break
        if delivered:
            # Some of it may be due again soon. Whoever found nothing asks nobody to look: what is
            # due but locked by somebody else would be looked at without end.
            self._when_idle()

    async def _turn(self) -> int:
        batch = await self._guarded(self._claim, None)
        if batch is None:
            return 0
        if len(batch.rows) == batch.by.batch_size:
            self._hire()
        await self._guarded(lambda: self.lane.end(batch), None)
        return len(batch.rows)

    async def _claim(self, *, urgent_only: bool = False) -> Batch | None:
        async with self._turns:
            if self._stopping or not self.allowed:
                return None
            return await self.lane.claim(urgent_only=urgent_only)

    def _begin(self, kind: str, work: Callable[[], Awaitable[None]]) -> None:
        if self._stopping or kind in self._others:
            return

        async def done() -> None:
            try:
                await work()
            finally:
                del self._others[kind]

        name = f"{kind} {self.lane.org_id}/{self.lane.crm}"
        self._others[kind] = asyncio.create_task(done(), name=name)

    async def _express(self) -> None:
        while self._urgent_again and not self._stopping:
            self._urgent_again = False
            batch = await self._guarded(lambda: self._claim(urgent_only=True), None)
            if batch is not None:
                self._urgent_again = True
                await self._guarded(partial(self.lane.end, batch), None)

    async def _settle(self) -> None:
        settled = 1
        while settled and not self._stopping:
            settled = await self._guarded(self.lane.settle, 0)
        self._when_idle()

    async def _probe(self) -> None:
        await self._guarded(self.lane.probe, default=False)
        self._when_idle()

    async def _guarded(self, work: Callable[[], Awaitable[Answer]], default: Answer) -> Answer:
        try:
            return await work()
        except Exception:  # noqa: BLE001 - a worker outlives any fault; it is logged whole
            # What was claimed is rescued by its lease; the pause keeps a fault from spinning.
            _log.exception("a batch failed", org_id=self.lane.org_id, crm=self.lane.crm)
            await asyncio.sleep(_AFTER_FAULT)
            return default
