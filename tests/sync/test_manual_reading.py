"""Sessions that read single records: none is left out, whatever happens between two pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits
from crmsync_server.store import run as runs
from crmsync_server.store import session
from crmsync_server.store.db import Database
from crmsync_server.store.session import Opening
from crmsync_server.store.states import Direction, SessionKind
from crmsync_server.sync.runs import Runs
from tests.eventually import eventually
from tests.store.people import CRM, ORG
from tests.store.records import Reading, later
from tests.sync.test_fences import Book, Office

_ONE_BY_ONE = SourceTraits(
    tells_deletions=True, tells_times=True, overlap=later(1) - later(1), fetch_batch=1
)
_MERGED = {"1": "9"}


def record(key: str) -> Record:
    """Return what somebody is at the CRM."""
    return Record(key, email=f"p{key}@example.com", modified_time=later(1))


@dataclass
class Shelf(Book):
    """A CRM whose record 1 was merged into record 9; its server dies after the first answer."""

    asked: list[str] = field(default_factory=list)
    traits: SourceTraits = _ONE_BY_ONE

    async def page(self, scope: Scope, cursor: Cursor) -> Page:
        """Not for single records."""
        raise NotImplementedError

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None]:
        """Return records by their ids; all but the first have to wait until they are let go."""
        del names
        if self.asked:
            self.begun.set()
            await self.lets_go.wait()
        self.asked += ids
        return {one: record(_MERGED.get(one, one)) for one in ids}

    find = fetch


async def test_a_record_is_not_left_out_because_another_was_merged_before_a_pause(
    database: Database,
) -> None:
    """What the contacts are linked to is another list then, and one of it is not to be skipped."""
    reading, shelf = Reading(database), Shelf()
    await reading.absorb(*map(record, ("1", "2", "3")))
    contact_ids = [str(one.id) for one in await reading.contacts()]
    office = Office(database, shelf)
    opening = Opening(office.session_id, SessionKind.MANUAL_SYNC, CRM, "tests", Direction.PULL)
    async with database.org(ORG) as connection:
        await session.open(connection, ORG, opening)
        task = {"contact_ids": contact_ids}
        await runs.insert(connection, ORG, office.session_id, CRM, task)
    first = Runs(office.desk("first"), 0.05)
    first.start()
    await shelf.begun.wait()
    await first.stop()
    shelf.lets_go.set()
    second = Runs(office.desk("second"), 0.05)
    second.start()
    try:
        await eventually(office.ended)
    finally:
        await second.stop()
    assert {"1", "2", "3"} <= set(shelf.asked)
