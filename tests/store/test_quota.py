"""The books of an account's buckets, as they lie in Postgres."""

import asyncio
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import quota
from crmsync_server.store.db import Database
from crmsync_server.store.quota import Book
from tests.store.people import CRM, ORG

BURST = Book("burst", 190, 10.0, 190)
DAILY = Book("daily", 1000, 86400.0, 1000)


async def read(connection: AsyncConnection, *fresh: Book, org_id: str = ORG) -> list[Book]:
    """Return some books as they lie there."""
    books, _ = await quota.lock(connection, org_id, CRM, fresh)
    return books


async def test_a_bucket_begins_as_it_is_declared(database: Database) -> None:
    """Nothing is drawn from it yet."""
    async with database.org(ORG) as connection:
        assert await read(connection, DAILY, BURST) == [BURST, DAILY]


async def test_a_book_is_kept_whole(database: Database) -> None:
    """Every part of it, whatever is unset, with gaps between its slots."""
    spent = {35_905_248_000: 3, 35_905_248_007: 1}
    full = Book(
        "burst", 190, 10.0, 250, 1.8e9 + 0.25, 0.5, 1.8e9, 1.8e9 + 9.5, 1.8e9 + 3, 1.8e9 + 7, spent
    )
    for book in (full, Book("burst", 190, 10.0, 250)):
        async with database.org(ORG) as connection:
            await read(connection, BURST)
            await quota.write(connection, ORG, CRM, [book])
        async with database.org(ORG) as connection:
            assert await read(connection, BURST) == [book]


async def test_what_the_crm_told_gives_way_to_what_is_declared_anew(database: Database) -> None:
    """A setting that has changed counts more than what was learned under the old one."""
    async with database.org(ORG) as connection:
        await read(connection, BURST)
        await quota.write(connection, ORG, CRM, [replace(BURST, calls=250)])
        assert (await read(connection, BURST))[0].calls == 250
        assert (await read(connection, replace(BURST, declared=100, calls=100)))[0].calls == 100


async def test_a_bucket_of_another_period_begins_anew(database: Database) -> None:
    """Its slots were shares of the old one."""
    async with database.org(ORG) as connection:
        await read(connection, BURST)
        await quota.write(connection, ORG, CRM, [replace(BURST, spent={7: 100})])
        longer = replace(BURST, period=60.0)
        assert await read(connection, longer) == [longer]


async def test_books_of_other_organizations_are_not_touched(database: Database) -> None:
    """By the same bucket of the same CRM."""
    for org_id, calls in ((ORG, 1), ("globex", 2)):
        async with database.org(org_id) as connection:
            await read(connection, BURST, org_id=org_id)
            await quota.write(connection, org_id, CRM, [replace(BURST, spent={7: calls})])
    async with database.org(ORG) as connection:
        assert (await read(connection, BURST))[0].spent == {7: 1}


async def test_who_draws_at_the_same_time_draws_one_after_the_other(database: Database) -> None:
    """No draw is lost, and the clock that the next one reads is later."""
    times: list[float] = []

    async def draw() -> None:
        async with database.org(ORG) as connection:
            (burst, daily), now = await quota.lock(connection, ORG, CRM, [BURST, DAILY])
            times.append(now)
            await asyncio.sleep(0)
            for book in (burst, daily):
                book.spent[7] = book.spent.get(7, 0) + 1
            await quota.write(connection, ORG, CRM, [burst, daily])

    await asyncio.gather(*(draw() for _ in range(10)))
    async with database.org(ORG) as connection:
        assert [book.spent for book in await read(connection, BURST, DAILY)] == [{7: 10}] * 2
    assert times == sorted(times)
