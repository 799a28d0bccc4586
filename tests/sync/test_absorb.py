"""Records that are taken in: which contact each belongs to, and what is written of it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from crmsync_server.store.content import Content, content_hash
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.merging import Merging
from tests.store.records import ADA, Reading, ada, later


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    """Read into the test's database, and check its promises at the end."""
    reading = Reading(database)
    yield reading
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_a_record_without_a_contact_makes_one(reading: Reading) -> None:
    """Linked, and complete: both say the same."""
    taken = await reading.absorb(ada(tags=("a", "b", "a"), properties={"plan": "gold", "x": ""}))
    assert (taken.created, taken.to_push) == (1, [])
    row, standing = await reading.contact(), await reading.standing()
    content = Content.of(row)
    assert content == ADA._replace(tags=("a", "b"), properties={"plan": "gold"})
    assert (standing.sync_status, standing.crm_contact_id) == ("COMPLETE", "1")
    assert standing.synced_hash == content_hash(content)
    assert (await reading.base()).synced_time == standing.synced_time is not None


async def test_a_record_that_brings_nothing_new_writes_nothing(reading: Reading) -> None:
    """However often it is read."""
    await reading.absorb(ada())
    before = (await reading.contact(), await reading.standing(), await reading.base())
    taken = await reading.absorb(ada())
    assert taken.unchanged == 1
    assert (await reading.contact(), await reading.standing(), await reading.base()) == before


async def test_what_only_the_crm_changed_changes_here(reading: Reading) -> None:
    """And nothing is left to deliver."""
    await reading.absorb(ada())
    taken = await reading.absorb(ada(company="Looms", modified_time=later(2)))
    assert (taken.updated, taken.to_push) == (1, [])
    row, standing = await reading.contact(), await reading.standing()
    assert (row.company, row.version) == ("Looms", 2)
    assert (standing.sync_status, standing.synced_hash) == ("COMPLETE", row.content_hash)
