"""Hints from one process to the others: sent joined, heard one by one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from crmsync_server.store.db import Database
from crmsync_server.store.listen import Listener
from crmsync_server.store.notify import SESSION, WORK, Notifier, joined, parted
from tests.eventually import eventually
from tests.postgres import Postgres, named

Heard = list[str | None]


@asynccontextmanager
async def listening(url: str, channel: str = WORK) -> AsyncIterator[Heard]:
    """Collect what a listener hears on a channel."""
    heard: Heard = []
    listener = Listener(url, check_interval=0.2)
    listener.subscribe(channel, heard.append)
    await listener.start()
    try:
        yield heard
    finally:
        await listener.stop()


@asynccontextmanager
async def notifying(database: Database, interval: float = 0.2) -> AsyncIterator[Notifier]:
    """Run a notifier."""
    notifier = Notifier(database, interval)
    await notifier.start()
    try:
        yield notifier
    finally:
        await notifier.stop()


async def cut_listeners(postgres: Postgres, url: str) -> None:
    """End every connection to a database, as a restart of Postgres does."""
    admin = await asyncpg.connect(postgres.admin_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", named(url)
    )
    await admin.close()


async def test_a_hint_reaches_whoever_listens(database: Database, database_url: str) -> None:
    """At once, when the channel was quiet."""
    async with listening(database_url) as heard, notifying(database, interval=60) as notifier:
        notifier.hint(WORK, "acme hubspot")
        await eventually(lambda: assert_heard(heard, ["acme hubspot"]))


async def test_channels_are_apart(database: Database, database_url: str) -> None:
    """A subscriber hears its own channel alone."""
    async with listening(database_url, SESSION) as heard, notifying(database) as notifier:
        notifier.hint(WORK, "acme hubspot")
        notifier.hint(SESSION, "acme 1")
        await eventually(lambda: assert_heard(heard, ["acme 1"]))


async def test_hints_of_an_instant_travel_together(database: Database, database_url: str) -> None:
    """A hundred tasks with ten different things to say cause one notification."""
    payloads: list[str] = []
    raw = await asyncpg.connect(database_url)
    await raw.add_listener(WORK, lambda *heard: payloads.append(heard[3]))
    async with notifying(database) as notifier:
        for number in range(100):
            notifier.hint(WORK, f"acme {number % 10}")
        await eventually(lambda: assert_some(payloads))
    assert payloads == ["\n".join(f"acme {number}" for number in range(10))]
    await raw.close()


async def test_hints_are_spaced(database: Database, database_url: str) -> None:
    """After the first, hints wait for the interval to be over, and none is lost on stopping."""
    async with listening(database_url) as heard:
        async with notifying(database, interval=60) as notifier:
            notifier.hint(WORK, "first")
            await eventually(lambda: assert_heard(heard, ["first"]))
            notifier.hint(WORK, "second")
            notifier.hint(WORK, "third")
        await eventually(lambda: assert_heard(heard, ["first", "second", "third"]))


async def test_too_many_hints_become_a_catch_all(database: Database, database_url: str) -> None:
    """A subscriber is told that anything may have changed: None."""
    async with listening(database_url) as heard, notifying(database) as notifier:
        notifier.hint(WORK, *(f"organization-{number} hubspot" for number in range(1000)))
        await eventually(lambda: assert_heard(heard, [None]))


@pytest.mark.parametrize("size", [7999, 8000])
async def test_the_longest_payload_is_one_that_postgres_takes(
    database: Database, database_url: str, size: int
) -> None:
    """One byte more, counted in UTF-8, is a catch-all instead of an error."""
    hint = "ü" + "x" * (size - 2)
    async with listening(database_url) as heard, notifying(database) as notifier:
        notifier.hint(WORK, hint)
        await eventually(lambda: assert_heard(heard, [hint if size == 7999 else None]))


async def test_a_listener_reconnects_and_says_that_hints_may_be_lost(
    database: Database, database_url: str, postgres: Postgres
) -> None:
    """After a cut it tells None first, then hints again."""
    async with listening(database_url) as heard:
        await cut_listeners(postgres, database_url)
        await eventually(lambda: assert_heard(heard, [None]))
        async with notifying(database) as notifier:
            notifier.hint(WORK, "again")
            await eventually(lambda: assert_heard(heard, [None, "again"]))


async def test_hints_outlive_a_cut_connection(
    database: Database, database_url: str, postgres: Postgres
) -> None:
    """What could not be sent is sent on the next turn."""
    async with notifying(database, interval=0.05) as notifier:
        notifier.hint(WORK, "before")
        await cut_listeners(postgres, database_url)
        async with listening(database_url) as heard:
            notifier.hint(WORK, "after")
            await eventually(lambda: assert_some([hint for hint in heard if hint == "after"]))


async def test_whoever_unsubscribes_hears_no_more(database: Database, database_url: str) -> None:
    """The other subscribers of the channel still do."""
    ended: Heard = []
    heard: Heard = []
    listener = Listener(database_url)
    end = listener.subscribe(WORK, ended.append)
    listener.subscribe(WORK, heard.append)
    await listener.start()
    end()
    async with notifying(database) as notifier:
        notifier.hint(WORK, "acme hubspot")
        await eventually(lambda: assert_heard(heard, ["acme hubspot"]))
    await listener.stop()
    assert ended == []


async def test_a_listener_that_cannot_connect_says_so_at_the_start() -> None:
    """A wrong address is an error of the one who starts it, not a loop in the dark."""
    with pytest.raises(OSError, match="Connect call failed"):
        await Listener("postgresql://crmsync@127.0.0.1:1/crmsync").start()


def test_hints_come_apart_as_they_were_joined() -> None:
    """In order, each once."""
    assert parted(joined({"b", "a c"})) == ["a c", "b"]


def assert_heard(heard: Heard, expected: Heard) -> None:
    """Compare; for `eventually`."""
    assert heard == expected


def assert_some(found: list[str] | Heard) -> None:
    """Require anything; for `eventually`."""
    assert found
