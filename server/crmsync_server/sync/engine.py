"""The engine: finds the lanes with work and keeps each of them delivering.

Lanes know nothing of each other. A lane has at most as many workers as its CRM allows at once,
and begins with one: a second joins only while whole batches wait. All lanes of one CRM share a
bounded number of batches, handed out in turn, so an organization with 50,000 records takes turns
with one that has a single record, and a CRM that hangs ties up only its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog

from crmsync_server.crm.adapter import Adapter
from crmsync_server.store import queue
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.lane import Bench, Lane

_log = structlog.get_logger()

_BATCHES_PER_CRM = 32
_AFTER_FAULT = 1.0
_LAST_WORDS = 15.0  # seconds to write down what became of calls that were given up

Adapters = Callable[[str, str], Adapter | None]


class Engine:
    """Delivers what is queued, for every organization and CRM with an adapter."""

    def __init__(
        self, database: Database, adapters: Adapters, bench: Bench, poll_interval: float
    ) -> None:
        """Prepare; adapters finds the adapter of (org_id, crm), None when there are no credentials.

        poll_interval: seconds between two looks at the queue when no hint comes.
        """
        self._database = database
        self._adapters = adapters
        self._bench = bench
        self._poll_interval = poll_interval
        self._crews: dict[tuple[str, str], _Crew] = {}
        self._turns: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_BATCHES_PER_CRM)
        )
        self._duty = Duty("dispatch", self._dispatch)

    def start(self) -> None:
        """Begin to deliver."""
        self._duty.start()

    def on_work(self, _hint: str | None) -> None:
        """Look at the queue now: something was queued here or elsewhere."""
        self._duty.wake()

    async def stop(self, grace: float) -> None:
        """Claim nothing more; give batches under way grace seconds, then record and drop them."""
        await self._duty.stop()
        await asyncio.gather(*(crew.stop(grace) for crew in self._crews.values()))
        self._crews.clear()

    async def _dispatch(self) -> float:
        async with self._database.everyone() as connection:
            lanes = await queue.due_lanes(connection)
            tickets = await queue.due_tickets(connection)
        waits = [self._poll_interval]
        for found, settling in ((lanes, False), (tickets, True)):
            for row in found:
                if row.wait_seconds <= 0:
                    self._rouse(row.org_id, row.crm, settling=settling)
                else:
                    waits.append(float(row.wait_seconds))
        return min(waits)

    def _rouse(self, org_id: str, crm: str, *, settling: bool) -> None:
        crew = self._crews.get((org_id, crm)) or self._assemble(org_id, crm)
        if crew is not None:
            crew.rouse(settling=settling)

    def _assemble(self, org_id: str, crm: str) -> "_Crew | None":
        try:
            adapter = self._adapters(org_id, crm)
        except Exception:  # noqa: BLE001 - one account's fault must not stop all the others
            _log.exception("no adapter could be built", org_id=org_id, crm=crm)
            return None
        if adapter is None:
            return None
        lane = Lane(org_id, crm, adapter, self._bench)
        crew = _Crew(lane, self._turns[crm], self._duty.wake)
        self._crews[org_id, crm] = crew
        return crew


class _Crew:
    """The workers of one lane in this process."""

    def __init__(self, lane: Lane, turns: asyncio.Semaphore, when_idle: Callable[[], None]) -> None:
        self._lane = lane
        self._turns = turns
        self._when_idle = when_idle
        self._workers: set[asyncio.Task[None]] = set()
        self._settler: asyncio.Task[None] | None = None
        self._asked_again = False
        self._stopping = False

    def rouse(self, *, settling: bool) -> None:
        """See to it that somebody works."""
        if settling:
            self._begin_settling()
        elif len(self._workers) <= self._lane.calls_under_way:
            # All wait for the CRM, or there is none: what has just become due must not wait too.
            self._hire()
        else:
            self._asked_again = True

    async def stop(self, grace: float) -> None:
        self._stopping = True
        tasks = {*self._workers, *({self._settler} if self._settler else ())}
        late = (await asyncio.wait(tasks, timeout=grace))[1] if tasks else ()
        if late:
            self._lane.give_up()
            late = (await asyncio.wait(late, timeout=_LAST_WORDS))[1]
        for task in late:
            _log.error("a worker does not stop; its records wait for their lease")
            task.cancel()

    def _hire(self) -> None:
        if self._stopping or len(self._workers) >= self._lane.adapter.capabilities.concurrency:
            return
        name = f"deliver {self._lane.org_id}/{self._lane.crm}"
        worker = asyncio.create_task(self._work(), name=name)
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        delivered = 0
        while not self._stopping:
            self._asked_again = False
            claimed = await self._take_turn()
            delivered += claimed
            if claimed == self._lane.adapter.capabilities.max_batch:
                self._hire()
            elif claimed == 0 and not self._asked_again:
                break
        if delivered:
            # Some of it may be due again soon. Whoever found nothing asks nobody to look: what is
            # due but locked by somebody else would be looked at without end.
            self._when_idle()

    async def _take_turn(self) -> int:
        async with self._turns:
            return 0 if self._stopping else await self._guarded(self._lane.deliver)

    def _begin_settling(self) -> None:
        if self._stopping or self._settler is not None:
            return
        name = f"settle {self._lane.org_id}/{self._lane.crm}"
        self._settler = asyncio.create_task(self._settle(), name=name)
        self._settler.add_done_callback(self._settled)

    def _settled(self, _task: asyncio.Task[None]) -> None:
        self._settler = None
        self._when_idle()

    async def _settle(self) -> None:
        while not self._stopping and await self._guarded(self._lane.settle):
            continue

    async def _guarded(self, work: Callable[[], Awaitable[int]]) -> int:
        try:
            return await work()
        except Exception:  # noqa: BLE001 - a worker outlives any fault; it is logged whole
            # What was claimed is rescued by its lease; the pause keeps a fault from spinning.
            _log.exception("a batch failed", org_id=self._lane.org_id, crm=self._lane.crm)
            await asyncio.sleep(_AFTER_FAULT)
            return 0
