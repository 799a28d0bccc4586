"""Requests by id: done once, answered again, forgotten after a day."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from crmsync_server.store import imports, request
from crmsync_server.store.db import Database
from crmsync_server.store.request import Answered, Request

ORG = "acme"


def asked(request_id: UUID | None = None, content: bytes = b"content") -> Request:
    """Return a request."""
    return Request(request_id or uuid4(), "CreateContact", content)


async def do(database: Database, one: Request, response: bytes = b"done") -> Answered | None:
    """Do a request, unless it was done; return what was answered before."""
    async with database.org(ORG) as connection:
        before = await request.begin(connection, ORG, one)
        if before is None:
            await request.answer(connection, ORG, one.request_id, response)
        return before


async def age(database: Database, hours: int) -> None:
    """Make everything that is remembered older."""
    async with database.org(ORG) as connection:
        for table in ("requests", "imports"):
            aging = sa.text(
                f"UPDATE {table} SET create_time = now() - make_interval(hours => :hours)"  # noqa: S608 - a table of ours
            )
            await connection.execute(aging, {"hours": hours})


async def test_a_request_is_answered_as_the_first_time(database: Database) -> None:
    """With the very bytes, and what it was asked."""
    one = asked()
    assert await do(database, one) is None
    assert await do(database, one, b"other") == Answered(one, b"done")
    other = asked(one.request_id, b"other")
    assert await do(database, other) == Answered(one, b"done")


async def test_of_two_at_once_one_is_done(database: Database) -> None:
    """The others wait for it, and get its answer."""
    one = asked()
    answers = await asyncio.gather(*(do(database, one) for _ in range(4)))
    assert answers.count(None) == 1
    assert answers.count(Answered(one, b"done")) == 3


async def test_looking_for_a_request_takes_nothing(database: Database) -> None:
    """It tells what was answered, and leaves a free id free."""
    one = asked()
    async with database.org(ORG) as connection:
        assert await request.find(connection, ORG, one.request_id) is None
    assert await do(database, one) is None
    async with database.org(ORG) as connection:
        assert await request.find(connection, ORG, one.request_id) == Answered(one, b"done")
    async with database.org("other") as connection:
        assert await request.find(connection, "other", one.request_id) is None


async def test_what_failed_was_never_asked(database: Database) -> None:
    """The id goes with the transaction."""

    async def fail() -> None:
        async with database.org(ORG) as connection:
            await request.begin(connection, ORG, one)
            raise LookupError

    one = asked()
    with pytest.raises(LookupError):
        await fail()
    assert await do(database, one) is None


async def test_answers_are_forgotten_after_a_day_and_not_before(database: Database) -> None:
    """Imports too, of all organizations."""
    one = asked()
    await do(database, one)
    async with database.org(ORG) as connection:
        await imports.begin(connection, ORG, uuid4())
    for hours, purged in ((23, 0), (25, 2)):
        await age(database, hours)
        async with database.everyone() as connection:
            assert await request.purge(connection) == purged
    assert await do(database, one) is None
