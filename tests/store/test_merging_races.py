"""What happens when records are taken in while something else happens to their contacts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from crmsync_server.crm.source import Record
from crmsync_server.store import contact, queue
from crmsync_server.store.contact import is_deadlock
from crmsync_server.store.contact_import import take_in
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.invariants import violations
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from crmsync_server.sync.absorb import absorb
from tests.store import people
from tests.store.people import CRM, ORG
from tests.store.records import Reading, ada, later
from tests.store.test_races import meanwhile

_PEOPLE = 40
_ROUNDS = 15


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    """Read into the test's database, and check its promises at the end."""
    yield Reading(database)
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_an_edit_that_comes_first_is_merged_with(reading: Reading) -> None:
    """Though it was not committed yet when the record was read."""
    await reading.absorb(ada())
    contact_id = (await reading.contact()).id
    changed = ada(last_name="King", modified_time=later(2))
    async with reading.database.org(ORG) as connection:
        await contact.update(
            connection, ORG, contact_id, lambda before: before._replace(company="Looms")
        )
        taking_in = meanwhile(reading.database, lambda c: absorb(c, reading.terms, [changed]))
        task = await taking_in.__aenter__()
    taken = await task
    await taking_in.__aexit__(None, None, None)
    row = await reading.contact()
    assert (row.company, row.last_name) == ("Looms", "King")
    assert (taken.updated, taken.to_push) == (1, [contact_id])


async def test_a_contact_that_is_made_meanwhile_gets_the_record(reading: Reading) -> None:
    """It has the same email, and nobody else is made."""
    async with reading.database.org(ORG) as connection:
        row = await contact.create(connection, ORG, Content("ada@example.com", phone="1"))
        taking_in = meanwhile(reading.database, lambda c: absorb(c, reading.terms, [ada()]))
        task = await taking_in.__aenter__()
    assert (await task).updated == 1
    await taking_in.__aexit__(None, None, None)
    kept = await reading.contact()
    assert (kept.id, kept.phone, kept.company) == (row.id, "1", "Engines")


async def test_a_contact_that_is_deleted_meanwhile_is_left_alone(reading: Reading) -> None:
    """It was there when its record was read."""
    await reading.absorb(ada())
    contact_id = (await reading.contact()).id
    changed = ada(company="Looms", modified_time=later(2))
    async with reading.database.org(ORG) as connection:
        await contact.delete(connection, ORG, contact_id)
        taking_in = meanwhile(reading.database, lambda c: absorb(c, reading.terms, [changed]))
        task = await taking_in.__aenter__()
    assert (await task).skipped == 1
    await taking_in.__aexit__(None, None, None)
    assert not await reading.contacts()


async def test_whatever_happens_at_once_nothing_is_lost_or_stuck(reading: Reading) -> None:
    """Readings, edits, imports, queueing and deliveries of the same contacts.

    A deadlock is a rare accident that its loser survives by doing it again, and none at all between
    readings and deliveries, which take their locks in one order.
    """
    everybody = [_person(number) for number in range(_PEOPLE)]
    await reading.absorb(*everybody)
    ids = [row.id for row in await reading.contacts()]

    async def read(turn: int) -> None:
        batch = [
            replace(one, company=f"there {turn}", modified_time=later(2 + turn))
            for one in everybody[turn % 3 :: 2]
        ]
        await reading.absorb(*batch)

    async def edit(turn: int) -> None:
        for contact_id in ids[turn::7]:
            await reading.edit(contact_id, phone=f"{turn}")

    async def bring_in(turn: int) -> None:
        contents = [Content(f"p{number}@example.com", company=f"in {turn}") for number in range(30)]
        async with reading.database.org(ORG) as connection:
            await take_in(connection, ORG, contents)

    async def deliver(turn: int) -> None:
        async with reading.database.org(ORG) as connection:
            await people.enqueue(connection, ids[turn::2], people.order(force=True))
        async with reading.database.org(ORG) as connection:
            rows = await people.claim(connection, 20)
        ended = [
            queue.Finished(
                row.contact_id,
                row.attempt,
                SyncStatus.COMPLETE,
                AttemptOutcome.SYNCED,
                crm_contact_id=row.crm_contact_id or str(new_id()),
            )
            for row in rows
        ]
        if ended:
            async with reading.database.org(ORG, by_index=True) as connection:
                await queue.finish(connection, ORG, CRM, ended)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_again(work)) for work in (read, read, edit, bring_in, deliver)]
    assert [task.result() for task in tasks] == [_ROUNDS] * len(tasks)


async def _again(work: Callable[[int], Awaitable[None]]) -> int:
    done = 0
    while done < _ROUNDS:
        try:
            await work(done)
        except DBAPIError as error:
            if not is_deadlock(error):
                raise
        else:
            done += 1
    return done


def _person(number: int) -> Record:
    return Record(
        str(number),
        email=f"p{number}@example.com",
        first_name="P",
        last_name="",
        phone="",
        company="",
        tags=(),
        modified_time=later(1),
    )
