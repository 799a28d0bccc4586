"""The engine: finds the lanes with work and keeps each of them delivering.

Lanes know nothing of each other: a CRM that hangs holds up its own workers and nobody else's. They
claim in turn, so an organization with 50,000 records takes turns with one that has a single record.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
import structlog

from crmsync_server.store import queue, ticket
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.sync.crew import Crew
from crmsync_server.sync.duty import Duty
from crmsync_server.sync.lane import Bench, Lane
from crmsync_server.sync.misfits import Misfits
from crmsync_server.sync.push import Deliverer

_log = structlog.get_logger()

_CLAIMS = 8  # at once; the rest of the pool is for finishing, and for callers

Deliverers = Callable[[str, str], Awaitable[Deliverer | None]]


class Engine:
    """Delivers what is queued, for every organization and CRM with an adapter."""

    def __init__(
        self, database: Database, deliverers: Deliverers, bench: Bench, poll_interval: float
    ) -> None:
        """Prepare; deliverers says how (org_id, crm) is delivered to, None when it is not.

        poll_interval: seconds between two looks at the queue when no hint comes.
        """
        self._database = database
        self._deliverers = deliverers
        self._bench = bench
        self._poll_interval = poll_interval
        self._crews: dict[tuple[str, str], Crew] = {}
        self._turns = asyncio.Semaphore(_CLAIMS)
        self._misfits = Misfits(database, bench.health)
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
            tickets = await ticket.due_lanes(connection)
        waits = [self._poll_interval]
        for row, work in (
            *((row, _deliver) for row in lanes),
            *((row, _settle) for row in tickets),
        ):
            if row.wait_seconds > 0:
                waits.append(float(row.wait_seconds))
            elif (crew := await self._crew(row.org_id, row.crm)) is not None:
                work(crew, row)
        return min(waits)

    async def _crew(self, org_id: str, crm: str) -> Crew | None:
        """Return the lane's crew, delivering as is right now; None when nothing is delivered."""
        try:
            deliverer = await self._deliverers(org_id, crm)
        except FAULTS:
            # The database's, and no reason to close a lane: it is looked at again at the poll.
            _log.exception("a lane could not be looked at", org_id=org_id, crm=crm)
            return None
        except Exception as error:  # noqa: BLE001 - one account's fault must not stop all the others
            await self._misfits.report(org_id, crm, error)
            return None
        crew = self._crews.get((org_id, crm))
        if deliverer is None or not deliverer.config.enabled:
            if crew is not None:
                crew.allowed = False  # who is in the middle of it claims nothing more
            return None
        if crew is None:
            lane = Lane(org_id, crm, deliverer, self._bench)
            crew = self._crews[org_id, crm] = Crew(lane, self._turns, self._duty.wake)
        crew.lane.deliverer = deliverer
        crew.allowed = True
        return crew


def _deliver(crew: Crew, row: sa.Row[Any]) -> None:
    if row.probing:
        crew.probe()
    else:
        crew.rouse(urgent=row.urgent)


def _settle(crew: Crew, _row: sa.Row[Any]) -> None:
    crew.settle()
