"""Events: told in the order in which they became visible, each once, from any place."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.store import event, partitions
from crmsync_server.store.db import Database
from crmsync_server.store.event import Bounds
from crmsync_server.store.ids import new_id
from crmsync_server.store.place import Key, Named, Place, named, token
from tests.store.deliveries import claimed, deliver, finish, take_id
from tests.store.people import ORG
from tests.store.test_plans import explain

_BEGINNING = Place(Key(1), datetime.now(UTC) - timedelta(days=1))


async def bounds_of(database: Database) -> Bounds:
    """Return what can be told now."""
    async with database.everyone() as connection:
        return await event.bounds(connection)


async def page(
    database: Database, after: Place = _BEGINNING, size: int = 100, org_id: str = ORG
) -> Sequence[sa.Row[Any]]:
    """Read what can be told after a place."""
    async with database.org(org_id) as connection:
        bounds = await event.bounds(connection)
        return await event.page(connection, org_id, after, bounds.settled, size=size)


async def told(database: Database, after: Place = _BEGINNING) -> list[UUID]:
    """Return whose events are told after a place."""
    return [row.contact_id for row in await page(database, after)]


async def test_a_commit_that_comes_late_is_told_before_what_overtook_it(
    database: Database,
) -> None:
    """Until it has come, nothing after it is told either."""
    first, second = await claimed(database), await claimed(database)
    async with database.org(ORG) as slow:
        await take_id(slow)
        async with database.org(ORG) as quick:
            await finish(quick, second)
        assert await told(database) == []
        await finish(slow, first)
        assert await told(database) == []
    assert await told(database) == [first[0].contact_id, second[0].contact_id]


async def test_whoever_has_read_to_the_end_is_told_of_a_commit_that_comes_late(
    database: Database,
) -> None:
    """The place after all that can be told lies before whatever is still open."""
    late = await claimed(database)
    before = await deliver(database)
    async with database.org(ORG) as slow:
        await take_id(slow)
        after = await deliver(database)
        async with database.org(ORG) as connection:
            bounds = await event.bounds(connection)
            place = await event.last(connection, ORG, bounds)
        assert bounds.unsettled
        await finish(slow, late)
    assert await told(database, place) == [late[0].contact_id, *after]
    assert (await told(database))[0] == before[0]


async def test_what_was_rolled_back_is_never_told(database: Database) -> None:
    """Its id is stepped over."""
    rows = await claimed(database)
    with suppress(ZeroDivisionError):
        async with database.org(ORG) as connection:
            await finish(connection, rows)
            raise ZeroDivisionError
    assert await told(database) == []


async def test_pages_join_without_a_gap_in_the_middle_of_a_transaction(database: Database) -> None:
    """Whatever their size."""
    expected = [*await deliver(database, 7), *await deliver(database, 4, crm="brevo")]
    for size in (1, 2, 3, 7, 11):
        seen: list[UUID] = []
        place = _BEGINNING
        while rows := await page(database, place, size):
            seen += [row.contact_id for row in rows]
            place = event.place_of(rows[-1])
        assert seen == expected


async def test_attempts_at_two_crms_in_one_transaction_are_two_events(database: Database) -> None:
    """Ids of CRMs that a collation would sort otherwise come by their bytes."""
    a, b = await claimed(database, crm="a_z"), await claimed(database, crm="aa")
    async with database.org(ORG) as connection:
        await finish(connection, a, crm="a_z")
        await finish(connection, b, crm="aa")
        same = sa.text("UPDATE sync_attempts SET contact_id = :contact_id")
        await connection.execute(same, {"contact_id": a[0].contact_id})
    first, second = await page(database)
    assert (first.crm, second.crm) == ("a_z", "aa")
    assert event.place_of(first).key < event.place_of(second).key
    assert [row.crm for row in await page(database, event.place_of(first))] == ["aa"]


async def test_an_organization_is_told_of_its_own_events_alone(database: Database) -> None:
    """Whoever else delivers."""
    await deliver(database, org_id="globex")
    assert await page(database) == []


async def test_the_event_that_a_token_names_is_found_again(database: Database) -> None:
    """As long as it is there."""
    await deliver(database, 3)
    rows = await page(database)
    place = event.place_of(rows[1])
    told_by = named(ORG, token(ORG, 1, place))
    assert told_by is not None
    async with database.org(ORG) as connection:
        assert await event.find(connection, ORG, told_by) == place
        await connection.execute(sa.text("DELETE FROM sync_attempts"))
        assert await event.find(connection, ORG, told_by) is None


async def test_a_quiet_organization_s_place_moves_on_with_the_checkpoints(
    database: Database,
) -> None:
    """So that it does not leave the history behind."""
    await deliver(database)
    [row] = await page(database)
    bounds = await bounds_of(database)
    moved = bounds.after(event.place_of(row))
    assert moved.key >= event.place_of(row).key
    assert bounds.border.key.transaction <= bounds.settled
    # No checkpoint has written down the id of a transaction that is still to come.
    assert bounds.durable <= bounds.settled


async def test_what_is_kept_begins_with_the_oldest_day(database: Database) -> None:
    """A little after its midnight, unless it is today."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert (await bounds_of(database)).kept_from == datetime.fromtimestamp(0, UTC)
    async with database.everyone() as connection:
        await partitions.keep(connection, midnight.date(), timedelta(days=9))
    assert (await bounds_of(database)).kept_from == midnight
    async with database.everyone() as connection:
        day = midnight - timedelta(days=5)
        await partitions.keep(connection, day.date(), timedelta(days=9))
    assert (await bounds_of(database)).kept_from == day + timedelta(minutes=10)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_page_costs_the_same_wherever_it_begins(
    database: Database, *, analyzed: bool
) -> None:
    """However much history there is, of this organization and of others."""
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO sync_attempts (org_id, contact_id, crm, attempt, start_time, outcome,"
                " contact_version, transaction)"
                " SELECT CASE WHEN i % 2 = 0 THEN 'acme' ELSE 'globex' END, gen_random_uuid(),"
                " 'hubspot', 1, now(), 'SYNCED', 1, 3 + i / 100"
                " FROM generate_series(1, 40000) AS i"
            )
        )
    if analyzed:
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE sync_attempts"))
    since = datetime.now(UTC) - timedelta(days=1)
    place = {"contact_id": UUID(int=0), "crm": "", "attempt": 0, "transaction": 200}
    asked = {"org_id": ORG, "settled": 2**40, "since": since, "size": 50, **place}
    async with database.org(ORG) as connection:
        nodes = list(await explain(connection, "event/page", asked))
    scans = [node for node in nodes if "Relation Name" in node]
    read = [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans]
    assert all("Index" in node["Node Type"] for node in scans)
    assert sum(read) < 400


def test_a_token_is_read_as_it_was_written() -> None:
    """In 64 characters."""
    contact_id = new_id()
    time = datetime(2026, 3, 1, 12, 0, 5, 250_000, tzinfo=UTC)
    written = token(ORG, 7_000_000_000_000_000_000, Place(Key(2**40, contact_id, "n8n", 3), time))
    assert len(written) == 64
    read = named(ORG, written)
    assert read is not None
    assert (read.transaction, read.contact_id, read.attempt) == (2**40, contact_id, 3)
    assert read.time == time.replace(microsecond=0)
    assert read.border is None


def test_a_token_of_a_border_names_no_event() -> None:
    """But the transaction before which everything was told."""
    read = named(ORG, token(ORG, 1, _BEGINNING))
    assert isinstance(read, Named)
    assert read.border is not None
    assert read.border.key == Key(1)


def test_a_token_that_is_damaged_or_another_organization_s_is_none() -> None:
    """Whatever is wrong with it."""
    good = token(ORG, 1, _BEGINNING)
    flipped = [f"{good[:at]}{'A' if good[at] != 'A' else 'B'}{good[at + 1 :]}" for at in range(64)]
    for bad in (*flipped, "", "x", "é", good[:-4], good + "AAAA", good.lower(), "*" * 64):
        assert named(ORG, bad) is None
    assert named("globex", good) is None
