"""The duty of the notices: reads again what CRMs told of by webhooks, and takes it in."""

import asyncio
from typing import Any

import sqlalchemy as sa
import structlog

from crmsync_server.store import notice as store
from crmsync_server.store.lost import lost
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.notice_batch import Batch, Place
from crmsync_server.sync.renewal import renewing
from crmsync_server.sync.run import Desk

_log = structlog.get_logger()

_AT_ONCE = 8  # organizations and CRMs
_TOGETHER = 1000  # notices that are claimed together; many are about the same record
_POLL_INTERVAL = 5.0  # seconds until what another process kept is seen, if no hint of it came
_LEAST_REST = 0.01


class Notices:
    """Sees to the notices of all organizations, on this replica.

    Those of one organization and CRM are seen to one batch after the other, and do not wait for
    those of others. Other replicas may have a batch of the same at the same time.
    """

    def __init__(self, desk: Desk, poll_interval: float = _POLL_INTERVAL) -> None:
        """Prepare; poll_interval: seconds between two looks when nobody wakes it."""
        self._desk = desk
        self._poll_interval = poll_interval
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._two_ways: set[Place] = set()
        self._duty = Duty("notices", self.turn)

    def start(self) -> None:
        """Begin with what is due now."""
        self._duty.start()

    def wake(self, _: str | None = None) -> None:
        """Look now: something was told."""
        self._duty.wake()

    async def stop(self) -> None:
        """Take up nothing more, and give back what is under way."""
        await self._duty.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def turn(self) -> float:
        """Take up what is due; return the seconds until the next look."""
        async with self._desk.database.everyone() as connection:
            lanes = await store.due_lanes(connection)
        rest = self._poll_interval
        for lane in lanes:
            if (lane.org_id, lane.crm) in self._tasks or len(self._tasks) >= _AT_ONCE:
                continue  # the end of a task is when to look again
            if lane.wait_seconds > 0:
                rest = min(rest, max(float(lane.wait_seconds), _LEAST_REST))
            else:
                self._take_up(lane)
        return rest

    def _take_up(self, lane: sa.Row[Any]) -> None:
        place = (str(lane.org_id), str(lane.crm))
        task = asyncio.create_task(self._work_off(*place), name=f"notices {place[1]}")
        self._tasks[place] = task
        task.add_done_callback(lambda _: self._taken_up(place))

    def _taken_up(self, place: Place) -> None:
        del self._tasks[place]
        self._duty.wake()

    async def _work_off(self, org_id: str, crm: str) -> None:
        """See to what is due of one organization and CRM, until nothing is."""
        try:
            while await self._see_to_some(org_id, crm):
                continue
        except Exception as error:  # noqa: BLE001 - the lease ends, and they are due again
            if (cause := lost(error)) is not None:
                kind = type(cause).__name__
                _log.warning("notices wait for the database", org_id=org_id, crm=crm, kind=kind)
            else:
                _log.exception("notices were not seen to", org_id=org_id, crm=crm)

    async def _see_to_some(self, org_id: str, crm: str) -> bool:
        desk = self._desk
        async with desk.database.org(org_id) as connection:
            claimed = await store.claim(connection, org_id, crm, size=_TOGETHER, lease=desk.lease)
        if not claimed:
            return False
        hold = store.Hold(org_id, crm, claimed[0].due_time)
        batch = Batch(desk, hold, claimed, self._two_ways)
        async with renewing(batch.renew, desk.lease.total_seconds() / 3):
            try:
                await batch.see_to()
            except asyncio.CancelledError:
                await batch.release()
                raise
        return True
