"""Records that are looked at while the database writes those before them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.store import contact
from crmsync_server.store.bulk import Head, Operation, Records, Terms
from crmsync_server.store.bulk_taking import Taking
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from tests.store.people import CRM, ORG, populate

COUNT = 2_500


def address(number: int) -> str:
    """Return an email; their order is that of the numbers."""
    return f"new{number:04}@example.com"


@dataclass(frozen=True)
class Moved:
    """What says of a contact that it has another email."""

    number: int

    @property
    def content(self) -> Content:
        """Return what a new contact would say."""
        return Content(address(self.number), first_name="b")

    def change(self, before: Content) -> Content:
        """Return what a known one says."""
        return before._replace(email=self.content.email)


def moving(ids: list[UUID], told: Callable[[int], None]) -> Records:
    """Return records that give contacts other emails; told of each that is looked at."""

    def load(place: int) -> Moved:
        told(place)
        return Moved(place)

    heads = [
        Head(place, Operation.UPDATE, contact_id, None, None, address(place), False)  # noqa: FBT003 - a row
        for place, contact_id in enumerate(ids)
    ]
    return Records(heads, load)


def making(told: Callable[[int], None]) -> Records:
    """Return records that make contacts; told of each that is looked at."""

    def load(place: int) -> Moved:
        told(place)
        return Moved(place)

    heads = [
        Head(place, Operation.CREATE, None, None, None, address(place), False)  # noqa: FBT003 - a row
        for place in range(COUNT)
    ]
    return Records(heads, load)


async def take(database: Database, records: Records) -> Taking:
    """Take records in a transaction of their own."""
    async with database.org(ORG) as connection:
        taking = Taking(connection, ORG, Terms(CRM, requires_email=True), records)
        await taking.run()
    return taking


async def moved(database: Database) -> int:
    """Return how many contacts have one of the new emails."""
    async with database.org(ORG) as connection:
        query = sa.text("SELECT count(*) FROM contacts WHERE email LIKE 'new%'")
        return await connection.scalar(query) or 0


@pytest.mark.parametrize("makes", [True, False])
async def test_every_record_is_taken_once(database: Database, *, makes: bool) -> None:
    """However many there are, and whether they make contacts or change them."""
    ids = await populate(database, COUNT)
    looked: list[int] = []
    taking = await take(database, making(looked.append) if makes else moving(ids, looked.append))
    assert sorted(looked) == sorted(taking.taken) == list(range(COUNT))
    assert len({one.contact_id for one in taking.taken.values()}) == await moved(database) == COUNT


@pytest.mark.parametrize("last", [0, 999, 1_000, 1_500, COUNT - 1])
@pytest.mark.parametrize("makes", [True, False])
async def test_a_call_that_is_cancelled_changes_nothing(
    database: Database, last: int, *, makes: bool
) -> None:
    """Whichever record it is looking at, and whatever is being written meanwhile."""
    ids = await populate(database, COUNT)

    def look(place: int) -> None:
        if place == last:
            task.cancel()

    records = making(look) if makes else moving(ids, look)
    task = asyncio.create_task(take(database, records))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await moved(database) == 0
    assert len((await take(database, making(lambda _: None))).taken) == COUNT


@pytest.mark.parametrize("makes", [True, False])
@pytest.mark.parametrize("error", [asyncio.CancelledError, RuntimeError])
async def test_a_call_that_fails_does_not_wait_for_what_is_being_written(
    database: Database, error: type[BaseException], *, makes: bool
) -> None:
    """A clash that comes of it later hides neither the failure nor a cancellation."""
    ids = await populate(database, COUNT)

    def look(place: int) -> None:
        if place == 1_500:
            if error is RuntimeError:
                raise RuntimeError
            task.cancel()

    async with database.org(ORG) as other:
        await contact.create(other, ORG, Content(address(5)))
        records = making(look) if makes else moving(ids, look)
        task = asyncio.create_task(take(database, records))
        with pytest.raises(error):
            await asyncio.wait_for(task, 20)
    assert await moved(database) == 1
