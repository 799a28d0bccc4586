"""The duty of the runs: takes up what is due, several at a time, and keeps their leases."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from crmsync_server.store import run as store
from crmsync_server.store import session as sessions
from crmsync_server.store.db import FAULTS
from crmsync_server.store.states import SessionKind
from crmsync_server.sync import lead_run
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.phases import go
from crmsync_server.sync.renewal import renewing
from crmsync_server.sync.run import Desk, Run, guarded, hold_of, let_go

_log = structlog.get_logger()

_AT_ONCE = 8
_POLL_INTERVAL = 2.0  # seconds until a run that another replica opened or lost is seen
_BETWEEN_HOLDS = 1.0
_BETWEEN_ALL_HOLDS = 60.0


class Runs:
    """Carries the sessions that read, of all organizations, on this replica."""

    def __init__(self, desk: Desk, poll_interval: float = _POLL_INTERVAL) -> None:
        """Prepare; poll_interval: seconds between two looks when nobody wakes it."""
        self._desk = desk
        self._poll_interval = poll_interval
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs = Duty("session runs", self.turn)
        self._holds = Duty("paused sessions", self._hold)

    def start(self) -> None:
        """Begin with what is due now."""
        self._runs.start()
        self._holds.start()

    def wake(self) -> None:
        """Look now: a session was opened, resumed or paused."""
        self._runs.wake()
        self._holds.wake()

    def on_session(self, hint: str | None) -> None:
        """Take a hint that a session moved; only a lost connection is worth a look at once."""
        if hint is None:
            self.wake()

    async def stop(self) -> None:
        """Take up nothing more, and give back what is under way, for another replica to go on."""
        await self._runs.stop()
        await self._holds.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def turn(self) -> float:
        """Take up what is due; return the seconds until the next look."""
        desk, room = self._desk, _AT_ONCE - len(self._tasks)
        if room <= 0:
            return self._poll_interval
        async with desk.database.everyone() as connection:
            claimed = await store.claim(connection, owner=desk.owner, lease=desk.lease, size=room)
            due = await store.next_due(connection)
        for row in claimed:
            task = asyncio.create_task(self._carry(row), name=f"run {row.session_id}")
            self._tasks.add(task)
            task.add_done_callback(self._carried)
        return self._poll_interval if due is None else min(max(due, 0.01), self._poll_interval)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._runs.wake()

    async def _carry(self, row: sa.Row[Any]) -> None:
        desk = self._desk
        interval = desk.lease.total_seconds() / 3
        try:
            async with renewing(partial(self._renew, row), interval):
                await guarded(desk, row, partial(_whole, desk, row))
        except asyncio.CancelledError:
            await self._give_back(row)
            raise
        except Exception:  # noqa: BLE001 - the lease ends, and the run goes on somewhere
            _log.exception("a run was lost", session_id=str(row.session_id))

    async def _give_back(self, row: sa.Row[Any]) -> None:
        try:
            await let_go(self._desk, hold_of(row), timedelta(0))
        except FAULTS:
            # Nobody is told; the lease ends by itself.
            _log.exception("a run could not be given back", session_id=str(row.session_id))

    async def _renew(self, row: sa.Row[Any]) -> None:
        async with self._desk.database.org(row.org_id) as connection:
            await store.renew(connection, hold_of(row), lease=self._desk.lease)

    async def _hold(self) -> float:
        """Hold what came back to the queue for paused sessions; return when to look again."""
        async with self._desk.database.everyone() as connection:
            paused = await sessions.paused(connection)
        under_way = 0
        for row in paused:
            async with self._desk.database.org(row.org_id) as connection:
                under_way += await sessions.hold(connection, row.org_id, row.id)
        return _BETWEEN_HOLDS if under_way else _BETWEEN_ALL_HOLDS


async def _whole(desk: Desk, row: sa.Row[Any]) -> None:
    run = await Run.of(row, desk)
    carry = lead_run.go if run.kind is SessionKind.LEAD_STATUS_SYNC else go
    await carry(run)
