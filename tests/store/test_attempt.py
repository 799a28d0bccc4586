"""The story of one contact: every entry once, newest first, at the cost of its own length."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.store import attempt, partitions, queue, session, ticket
from crmsync_server.store.attempt import Spot
from crmsync_server.store.db import Database
from crmsync_server.store.queue import Finished
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.store import people
from tests.store.deliveries import claimed, deliver, finish
from tests.store.people import CRM, LEASE, ORG
from tests.store.test_plans import explain

_MANY = 20_000


async def story(
    database: Database, contact_id: UUID, crm: str | None = None, size: int = 100
) -> list[sa.Row[Any]]:
    """Read a whole story, page by page."""
    read: list[sa.Row[Any]] = []
    after: Spot | None = None
    while True:
        async with database.org(ORG) as connection:
            page = await attempt.list(connection, ORG, contact_id, crm=crm, size=size, after=after)
        read += page
        if len(page) < size:
            return read
        after = Spot(page[-1].event_time, page[-1].key)


def told(rows: Sequence[sa.Row[Any]]) -> list[tuple[str, str, str | None]]:
    """Show what the tests look at."""
    return [(row.event, row.crm, row.outcome) for row in rows]


async def waits(database: Database, contact_id: UUID) -> list[sa.Row[Any]]:
    """Read what a contact waits for."""
    async with database.org(ORG) as connection:
        return list(await attempt.waiting(connection, ORG, contact_id, None))


async def retried(database: Database) -> UUID:
    """Queue a contact for two CRMs; one fails for now, the other is being delivered."""
    [row] = await claimed(database)
    later = datetime.now(UTC) + timedelta(hours=1)
    ended = Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.QUEUED,
        AttemptOutcome.RETRY,
        due_time=later,
        error_code="HTTP_503",
        error_message="later",
        request_id="correlation",
    )
    async with database.org(ORG) as connection:
        await queue.finish(connection, ORG, CRM, [ended])
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [row.contact_id], people.order("brevo"))
    async with database.org(ORG) as connection:
        await people.claim(connection, 1, crm="brevo")
    return row.contact_id


async def test_a_story_tells_of_all_crms_newest_first(database: Database) -> None:
    """Who queued it, what failed, and what is under way."""
    contact_id = await retried(database)
    rows = await story(database, contact_id)
    assert told(rows) == [
        ("ATTEMPT", "brevo", None),
        ("QUEUED", "brevo", None),
        ("ATTEMPT", CRM, "RETRY"),
        ("QUEUED", CRM, None),
    ]
    failed = rows[2]
    assert (failed.error_code, failed.error_message, failed.request_id) == (
        "HTTP_503",
        "later",
        "correlation",
    )
    assert failed.next_retry_time > failed.end_time >= failed.start_time
    assert (failed.lease_owner, failed.contact_version) == ("tests", 1)
    assert {row.creator for row in rows if row.event == "QUEUED"} == {"tests"}
    assert told(await story(database, contact_id, CRM)) == told(rows[2:])


async def test_a_story_tells_that_a_session_was_cancelled(database: Database) -> None:
    """Before the contact was delivered."""
    [contact_id] = await people.populate(database, 1)
    async with database.org(ORG) as connection:
        session_id = await people.enqueue(connection, [contact_id], people.order())
    async with database.org(ORG) as connection:
        await session.cancel(connection, ORG, session_id)
    cancelled, queued = await story(database, contact_id)
    assert (cancelled.event, queued.event) == ("CANCELLED", "QUEUED")
    assert cancelled.session_id == queued.session_id == session_id


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_of_a_story_join_without_a_gap(database: Database, size: int) -> None:
    """Also where several things happened at the same time."""
    [contact_id] = await people.populate(database, 1)
    for _ in range(3):
        async with database.org(ORG) as connection:
            for crm in ("brevo", CRM):
                await people.enqueue(connection, [contact_id], people.order(crm, force=True))
        async with database.org(ORG) as connection:
            for crm in ("brevo", CRM):
                rows = await people.claim(connection, 1, crm=crm)
                await finish(connection, rows, crm=crm)
    whole = await story(database, contact_id)
    assert len(whole) == 12
    assert whole == sorted(whole, key=lambda row: (row.event_time, row.key), reverse=True)
    assert await story(database, contact_id, size=size) == whole


async def test_a_story_goes_on_over_the_days(database: Database) -> None:
    """Each day has a partition of its own."""
    now = datetime.now(UTC)
    async with database.everyone() as connection:
        await partitions.keep(connection, now.date() - timedelta(days=4), timedelta(days=9))
        await partitions.keep(connection, now.date(), timedelta(days=9))
    [contact_id] = await deliver(database)
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO sync_attempts (org_id, contact_id, crm, attempt, start_time, end_time,"
                " outcome, contact_version) SELECT :org_id, :contact_id, 'brevo', i, now(),"
                " now() - i * interval '1 day', 'SYNCED', 1 FROM generate_series(1, 4) AS i"
            ),
            {"org_id": ORG, "contact_id": contact_id},
        )
    rows = await story(database, contact_id, size=2)
    assert [row.attempt for row in rows if row.crm == "brevo"] == [1, 2, 3, 4]


async def test_what_waits_tells_what_holds_it_up(database: Database) -> None:
    """A retry its time, a delivery its server."""
    brevo, hubspot = await waits(database, await retried(database))
    assert (brevo.crm, brevo.delivering, brevo.lease_owner) == ("brevo", True, "tests")
    assert brevo.claim_time
    assert (hubspot.delivering, hubspot.paused) == (False, False)
    assert hubspot.due_time > datetime.now(UTC)


async def test_what_is_held_under_a_ticket_tells_when_the_crm_is_asked(database: Database) -> None:
    """It is no mere delivery any more."""
    [row] = await claimed(database)
    check = datetime.now(UTC) + timedelta(minutes=5)
    async with database.org(ORG) as connection:
        under_way = [(row.contact_id, row.attempt)]
        await ticket.hold(connection, ORG, CRM, under_way, ticket.Ticket("import-1", check, LEASE))
    [waiting] = await waits(database, row.contact_id)
    assert waiting.delivering
    assert abs(waiting.check_time - check) < timedelta(seconds=10)


async def test_those_ahead_in_the_lane_are_counted(database: Database) -> None:
    """By priority and then by time; as far as anybody wants to know."""
    ids = await people.populate(database, 5)
    for contact_id in ids:
        async with database.org(ORG) as connection:
            await people.enqueue(connection, [contact_id], people.order(high=contact_id == ids[4]))
    ahead = [(await waits(database, contact_id))[0].ahead for contact_id in ids]
    assert ahead == [1, 2, 3, 4, 0]


async def test_what_is_at_rest_waits_for_nothing(database: Database) -> None:
    """Nor does what was never asked for."""
    [contact_id] = await deliver(database)
    assert await waits(database, contact_id) == []


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_story_costs_the_same_however_many_others_there_are(
    database: Database, *, analyzed: bool
) -> None:
    """It is read by the contact's own indexes."""
    ids = await people.populate(database, _MANY)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids, people.order())
    async with database.org(ORG) as connection:
        rows = await people.claim(connection, 2000)
        await finish(connection, rows)
    if analyzed:
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    asked = {"org_id": ORG, "crm": None}
    listing = {**asked, "contact_id": rows[0].contact_id, "time": None, "key": None, "size": 50}
    waiting = {**asked, "contact_id": ids[-1], "most": 1000}
    async with database.org(ORG) as connection:
        for name, parameters in (("attempt/list", listing), ("attempt/waiting", waiting)):
            nodes = list(await explain(connection, name, parameters))
            read = [
                (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                for node in nodes
                if "Relation Name" in node
            ]
            assert sum(read) < 2500, (name, nodes)
