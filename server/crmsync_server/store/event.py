"""Events: what attempts ended in, in the order in which their transactions became visible.

A transaction takes its id when it first writes, and commits later: ids are no order of commits. But
below the oldest id that is still open (`Bounds.settled`) nothing changes any more, so whoever reads
up to there, in the order of ids, steps over nothing, however late a commit comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.place import Key, Named, Place, digest_of, later
from crmsync_server.store.statements import statement

# How much earlier than a place an event after it may be dated: a batch is dated by the beginning of
# its transaction. One that stood still for longer has lost its leases, and records nothing.
_BACKDATED = timedelta(days=1)
_FIRST = 1  # the first transaction; attempts of before events were noted are 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What can be told now.

    settled: every transaction below has ended.
    unsettled: whether any other is under way, or has ended above that one.
    durable: no transaction below begins any more, not even after a crash of the database.
    system: identifies the cluster whose transactions these are.
    time: now, by the database's clock.
    kept_from: events that ended since then are all kept.
    """

    settled: int
    unsettled: bool
    durable: int
    system: int
    time: datetime
    kept_from: datetime

    @property
    def border(self) -> Place:
        """The latest place that is sure to stay before everything that comes."""
        return Place(Key(min(self.durable, self.settled)), self.time)

    @property
    def oldest(self) -> Place:
        """The place before everything that is kept."""
        return Place(Key(_FIRST), self.kept_from)

    def follow(self, before: Self) -> bool:
        """Tell whether this database has the past that these earlier bounds were of."""
        return self.system == before.system and self.settled >= before.settled

    def after(self, told: Place) -> Place:
        """Return the latest place with nothing between it and `told`, after which none is left.

        An organization that is quiet for longer than its history is kept goes on in this way.
        """
        return later(told, self.border)


def scope(org_id: str) -> str:
    """Return what the tokens of an organization's events are bound to."""
    return org_id


async def bounds(connection: AsyncConnection) -> Bounds:
    """Return what can be told, before `page` in the same transaction."""
    row = (await connection.execute(statement("event/bounds"))).one()
    return Bounds(**row._mapping)  # noqa: SLF001 - its public name, by SQLAlchemy's documentation


async def last(connection: AsyncConnection, org_id: str, bounds: Bounds) -> Place:
    """Return the place after everything that can be told."""
    parameters = {
        "org_id": org_id,
        "transaction": bounds.border.key.transaction,
        "settled": bounds.settled,
        "since": bounds.time - _BACKDATED,
    }
    row = (await connection.execute(statement("event/last"), parameters)).one_or_none()
    return bounds.border if row is None else place_of(row)


async def page(
    connection: AsyncConnection, org_id: str, after: Place, settled: int, *, size: int
) -> Sequence[sa.Row[Any]]:
    """Return the next events after a place, up to the transactions that are settled.

    Fewer than size means that there are no more.
    """
    parameters = {
        "org_id": org_id,
        **after.key._asdict(),
        "settled": settled,
        "since": after.time - _BACKDATED,
        "size": size,
    }
    return (await connection.execute(statement("event/page"), parameters)).all()


async def find(connection: AsyncConnection, org_id: str, named: Named) -> Place | None:
    """Return the place right after the event that a token names; None when there is no such."""
    parameters = {
        "org_id": org_id,
        "transaction": named.transaction,
        "contact_id": named.contact_id,
        "attempt": named.attempt,
        "time": named.time,
    }
    for row in await connection.execute(statement("event/find"), parameters):
        if digest_of(row.crm) == named.crm:
            key = Key(named.transaction, named.contact_id, row.crm, named.attempt)
            return Place(key, row.end_time)
    return None


def place_of(row: sa.Row[Any]) -> Place:
    """Return the place right after an event."""
    return Place(Key(row.transaction, row.contact_id, row.crm, row.attempt), row.end_time)
