"""Notices are kept once, claimed by one server at a time, and lost by none."""

from datetime import timedelta

import sqlalchemy as sa

from crmsync_server.store import notice
from crmsync_server.store.db import Database
from crmsync_server.store.notice import Hold, Later, Told
from tests.store.people import CRM, ORG

NOW = timedelta(0)
LEASE = timedelta(minutes=1)


def told(*keys: str) -> list[Told]:
    """Return a change of a record for each key."""
    return [Told(key, "CHANGED", crm_contact_id=f"id of {key}") for key in keys]


async def insert(database: Database, *keys: str, crm: str = CRM) -> int:
    """Keep notices; return how many are new."""
    async with database.org(ORG) as connection:
        return await notice.insert(connection, ORG, crm, told(*keys), NOW)


async def claim(database: Database, size: int = 100, lease: timedelta = LEASE) -> list[sa.Row[str]]:
    """Claim what is due."""
    async with database.org(ORG) as connection:
        return list(await notice.claim(connection, ORG, CRM, size=size, lease=lease))


async def test_a_notice_that_is_sent_again_is_kept_once(database: Database) -> None:
    """In the same webhook, in a later one, and after it was seen to."""
    assert await insert(database, "a", "b", "a") == 2
    assert await insert(database, "b", "c") == 1
    assert await insert(database, "a", crm="brevo") == 1
    [first, *_] = claimed = await claim(database)
    hold = Hold(ORG, CRM, first.due_time)
    async with database.org(ORG) as connection:
        done = await notice.finish(connection, hold, {row.key: "READ" for row in claimed})
    assert sorted(done) == ["a", "b", "c"]
    assert await insert(database, "a", "b", "c") == 0
    assert await claim(database) == []


async def test_an_empty_webhook_keeps_nothing(database: Database) -> None:
    """It was about something else."""
    assert await insert(database) == 0


async def test_a_claimed_notice_is_nobody_elses(database: Database) -> None:
    """Until the lease is over; then the first holder changes nothing more."""
    await insert(database, "a", "b")
    [first] = await claim(database, size=1, lease=timedelta(0))
    assert len(await claim(database)) == 2
    late = Hold(ORG, CRM, first.due_time)
    async with database.org(ORG) as connection:
        assert await notice.finish(connection, late, {"a": "READ", "b": "READ"}) == []
        assert await notice.renew(connection, late, ["a", "b"], lease=LEASE) is None
        await notice.put_off(connection, late, [Later("a", NOW), Later("b", NOW)])
    assert await claim(database) == []


async def test_a_lease_that_is_renewed_is_held_under_its_new_end(database: Database) -> None:
    """The old end holds no more."""
    await insert(database, "a")
    [row] = await claim(database)
    before = Hold(ORG, CRM, row.due_time)
    async with database.org(ORG) as connection:
        until = await notice.renew(connection, before, ["a"], lease=2 * LEASE)
    assert until is not None
    assert until > before.until
    async with database.org(ORG) as connection:
        assert await notice.finish(connection, before, {"a": "READ"}) == []
        assert await notice.finish(connection, Hold(ORG, CRM, until), {"a": "READ"}) == ["a"]


async def test_tries_are_counted_while_the_reason_stays(database: Database) -> None:
    """Another reason begins anew, and waiting by itself counts nothing."""
    await insert(database, "a")
    told = [("DOWN", True, 1), ("DOWN", True, 2), (None, False, 2), ("BAD", True, 1)]
    for code, counted, expected in told:
        [row] = await claim(database)
        async with database.org(ORG) as connection:
            hold = Hold(ORG, CRM, row.due_time)
            await notice.put_off(connection, hold, [Later("a", NOW, code, counted)])
        async with database.org(ORG) as connection:
            count = await connection.scalar(sa.text("SELECT retry_count FROM notices"))
        assert count == expected


async def test_every_lane_with_notices_is_found(database: Database) -> None:
    """With the time until the first is due; those that are done count for nothing."""
    lanes = [("acme", "brevo"), ("acme", "hubspot"), ("zeta", "brevo")]
    for org_id, crm in lanes:
        async with database.org(org_id) as connection:
            await notice.insert(connection, org_id, crm, told("a"), NOW)
            await notice.insert(connection, org_id, crm, told("b", "c"), LEASE)
    async with database.org("done") as connection:
        await notice.insert(connection, "done", CRM, told("a"), NOW)
        await connection.execute(sa.text("UPDATE notices SET done_time = now()"))
    async with database.everyone() as connection:
        found = await notice.due_lanes(connection)
        assert [(row.org_id, row.crm) for row in found] == lanes
        assert [row.wait_seconds for row in found] == [0, 0, 0]
        assert await notice.waiting(connection) == {"brevo": 6, "hubspot": 3}
        await connection.execute(sa.text("UPDATE notices SET done_time = now() WHERE key = 'a'"))
        waits = [row.wait_seconds for row in await notice.due_lanes(connection)]
        assert all(55 < wait <= 60 for wait in waits)


async def test_what_was_seen_to_is_forgotten_in_time(database: Database) -> None:
    """What was not is kept, however old."""
    await insert(database, "new", "old", "waiting")
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "UPDATE notices SET receive_time = now() - interval '9 days', done_time ="
                " CASE key WHEN 'new' THEN now() WHEN 'old' THEN now() - interval '9 days' END"
            )
        )
        assert await notice.purge(connection, age=timedelta(days=8), size=10) == 1
        kept = await connection.scalars(sa.text("SELECT key FROM notices ORDER BY key"))
        assert list(kept) == ["new", "waiting"]
