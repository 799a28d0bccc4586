"""A lane's circuit: closes it to deliveries when its CRM does not work, and probes it now and then.

Refused credentials open the circuit at once, faults when whole batches in a row met nothing else.
While it is open nothing is claimed, so nothing burns a retry. Then one server asks the CRM, without
writing, whether all is well; only a delivery that succeeds makes it forget how often it opened.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.typing import FilteringBoundLogger

from crmsync_server.crm.adapter import Standing
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Unknown
from crmsync_server.store import lane as lanes
from crmsync_server.store.db import Database
from crmsync_server.sync.storable import storable

REFUSED = "CREDENTIALS_REFUSED"
OPEN = "CIRCUIT_OPEN"
MISCONFIGURED = "MISCONFIGURED"

_IN_A_ROW = 3
_WAITS = {
    REFUSED: (timedelta(minutes=1), timedelta(hours=1)),
    MISCONFIGURED: (timedelta(minutes=1), timedelta(hours=1)),
    OPEN: (timedelta(seconds=5), timedelta(minutes=5)),
}

Health = Callable[[AsyncConnection, str, str, Standing], Awaitable[None]]
"""Writes down how an organization's connection to a CRM was found, in the same transaction."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose circuit: an organization's lane to a CRM, and where that is written down."""

    database: Database
    org_id: str
    crm: str
    health: Health


class Circuit:
    """The circuit of one lane, shared over all servers by way of its row."""

    def __init__(self, place: Place, log: FilteringBoundLogger) -> None:
        """Begin with nothing known: another server may have opened it."""
        self._place = place
        self._log = log
        self._faults = 0
        self._opened = False
        self._steady = False

    async def note(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what became of a batch that was sent; opens when too many had nothing but faults.

        After it has opened, the first such batch opens it again.
        """
        if all(map(_tells_nothing, outcomes)):
            return
        fault = _only_fault(outcomes)
        if fault is None:
            await self._well()
            return
        self._faults += 1
        if self._faults >= (1 if self._opened else _IN_A_ROW):
            await self.open(OPEN, fault.message)

    async def open(self, code: str, message: str, *, probed: bool = False) -> None:
        """Stop the lane until a probe; which worker says so first does not matter."""
        first, most = _WAITS[code]
        message = storable(message)
        fault = lanes.Fault(code, message, first, most)
        self._faults, self._opened, self._steady = 0, True, False
        where = self._place
        async with where.database.org(where.org_id) as connection:
            trips = await lanes.trip(connection, where.org_id, where.crm, fault, probed=probed)
            if trips is not None:
                found = Standing(valid=False, message=message, reachable=code != OPEN)
                await where.health(connection, where.org_id, where.crm, found)
        if trips is not None:
            self._log.error("the lane is closed until a probe", code=code, why=message, trips=trips)

    async def probe(
        self, check: Callable[[], Awaitable[Standing | None]], lease: timedelta
    ) -> bool:
        """Ask the CRM whether all is well, if nobody else does; return whether the lane is open.

        check: None when this server stops, and so knows nothing.
        lease: how long the others leave the probe to this one.
        """
        where = self._place
        async with where.database.org(where.org_id) as connection:
            taken = await lanes.begin_probe(connection, where.org_id, where.crm, lease)
        if taken is None:
            return False
        found = await check()
        if found is None:
            return False
        if not found.valid:
            await self.open(REFUSED if found.reachable else OPEN, found.message, probed=True)
            return False
        async with where.database.org(where.org_id) as connection:
            if not await lanes.resume(connection, where.org_id, where.crm, probed=taken):
                return False
            await where.health(connection, where.org_id, where.crm, _storable(found))
        self._opened, self._steady = True, False
        self._log.info("the lane is open again")
        return True

    async def _well(self) -> None:
        self._faults, self._opened = 0, False
        if not self._steady:
            self._steady = True
            async with self._place.database.org(self._place.org_id) as connection:
                await lanes.steady(connection, self._place.org_id, self._place.crm)


def _storable(found: Standing) -> Standing:
    message, account_id = storable(found.message), storable(found.account_id)
    return replace(found, message=message, account_id=account_id)


def _tells_nothing(outcome: Outcome) -> bool:
    """Tell whether it neither blames nor clears the CRM: it asks to wait, or we stop."""
    return isinstance(outcome, Postponed) or (isinstance(outcome, Unknown) and outcome.ours)


def _only_fault(outcomes: Sequence[Outcome]) -> Retry | Unknown | None:
    """Return a fault when the batch met nothing else, None when it met something else too."""
    first = outcomes[0] if outcomes else None
    if not isinstance(first, Retry | Unknown):
        return None
    return first if all(isinstance(one, Retry | Unknown) for one in outcomes) else None
