"""The plans of the engine's statements: by the indexes made for them, analyzed or not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.claimed import Claimed
from crmsync_server.store.db import Database
from crmsync_server.store.statements import statement
from tests.store import people
from tests.store.people import CRM, ORG

_CONTACTS = 20_000
_UNDER_WAY = 200
_BIG = {"contact_syncs", "session_items", "contacts"}

Plan = Mapping[str, Any]


@pytest.fixture(params=["never analyzed", "analyzed"])
async def busy(database: Database, request: pytest.FixtureRequest) -> Database:
    """Fill a database with a large queue, some of it being delivered."""
    ids = await people.populate(database, _CONTACTS)
    async with database.org(ORG) as connection:
        # Autovacuum must not analyze halfway through a test.
        for table in ("contact_syncs", "session_items", "contacts"):
            await connection.execute(
                sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            )
        await people.enqueue(connection, ids, people.order())
    async with database.org(ORG) as connection:
        await people.claim(connection, _UNDER_WAY)
    if request.param == "analyzed":
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    return database


async def explain(
    connection: AsyncConnection, name: str, parameters: Mapping[str, object]
) -> Iterator[Plan]:
    """Run a statement and return the nodes of its plan."""
    text = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(name).text}")
    answer = await connection.scalar(text, dict(parameters))
    return _nodes(answer[0]["Plan"])


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def assert_by_index(nodes: Iterator[Plan], index: str) -> None:
    """Check that an index serves a plan and that it reads no big table as a whole."""
    plan = list(nodes)
    scanned = [node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"]
    assert not _BIG & set(scanned)
    assert index in {node.get("Index Name") for node in plan}
    # What an index serves badly is read through it from end to end.
    for node in plan:
        if node.get("Relation Name") in _BIG:
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert read * node["Actual Loops"] < _CONTACTS / 10


async def test_a_claim_reads_the_head_of_the_queue(busy: Database) -> None:
    """However long it is."""
    terms = {
        "size": 100,
        "lease": people.LEASE,
        "owner": "tests",
        "salt": b"",
        "urgent_only": False,
    }
    parameters = {"org_id": ORG, "crm": CRM, **terms}
    async with busy.org(ORG) as connection:
        nodes = await explain(connection, "queue/claim", parameters)
    assert_by_index(nodes, "contact_syncs_queue_idx")


async def test_a_finish_finds_each_record_by_its_key(busy: Database) -> None:
    """And the items that wait for it by theirs."""
    async with busy.org(ORG, by_index=True) as connection:
        rows = await people.claim(connection, 100)
        parameters = await _finishing(connection, rows)
        nodes = list(await explain(connection, "queue/finish", parameters))
    assert_by_index(iter(nodes), "contact_syncs_pkey")
    assert_by_index(iter(nodes), "session_items_contact_idx")


async def test_a_finish_reads_no_item_of_earlier_sessions(database: Database) -> None:
    """A contact that is queued every hour for years costs what a new one does."""
    ids = await people.populate(database, 1)
    nodes: list[Plan] = []
    for _ in range(20):
        async with database.org(ORG) as connection:
            await people.enqueue(connection, ids, people.order(force=True))
            rows = await people.claim(connection, 1)
        async with database.org(ORG, by_index=True) as connection:
            parameters = await _finishing(connection, rows, ended=1)
            nodes = list(await explain(connection, "queue/finish", parameters))
    [scan] = [node for node in nodes if node.get("Index Name") == "session_items_contact_idx"]
    assert (scan["Actual Rows"], scan.get("Rows Removed by Filter", 0)) == (1, 0)


async def _finishing(
    connection: AsyncConnection, rows: Sequence[Claimed], ended: int = 99
) -> dict[str, object]:
    """Return the parameters that end so many of the rows, and queue the rest again."""
    count = len(rows)
    now = await connection.scalar(sa.text("SELECT now()"))
    return {
        "org_id": ORG,
        "crm": CRM,
        "slot": 0,
        "contact_ids": [row.contact_id for row in rows],
        "attempts": [row.attempt for row in rows],
        "statuses": ["COMPLETE"] * ended + ["QUEUED"] * (count - ended),
        "outcomes": ["SYNCED"] * ended + ["RETRY"] * (count - ended),
        "crm_contact_ids": ["1"] * count,
        "error_codes": None,
        "error_messages": None,
        "request_ids": None,
        "skip_reasons": None,
        "retry_counts": [0] * count,
        "due_times": [now] * count,
        "removals": None,
        "clock": now,
        "size": count,
        "calls": 1,
        "call_records": count,
        "call_seconds": 0.1,
        "call_steps": [0, 1],
    }


async def test_lanes_are_found_without_reading_the_queue(busy: Database) -> None:
    """The cost follows the number of lanes."""
    async with busy.everyone() as connection:
        nodes = await explain(connection, "queue/due_lanes", {})
    assert_by_index(nodes, "contact_syncs_queue_idx")


async def test_expired_leases_are_found_among_those_under_way(busy: Database) -> None:
    """Not among all that waits."""
    async with busy.everyone() as connection:
        lane = {"org_id": ORG, "crm": CRM}
        found = await explain(connection, "queue/expired_lanes", {})
        locked = await explain(connection, "queue/lock_expired", {**lane, "size": 500})
    assert_by_index(found, "contact_syncs_lease_idx")
    assert_by_index(locked, "contact_syncs_lease_idx")


async def test_statistics_count_only_what_is_under_way(busy: Database) -> None:
    """The rest is kept up."""
    async with busy.org(ORG) as connection:
        nodes = await explain(connection, "stats/get", {"org_id": ORG, "crm": CRM})
    assert_by_index(nodes, "contact_syncs_lease_idx")


async def test_leases_are_renewed_and_records_held_by_their_keys(busy: Database) -> None:
    """As they are finished."""
    async with busy.org(ORG) as connection:
        rows = await people.claim(connection, 100)
        under_way = {
            "org_id": ORG,
            "crm": CRM,
            "contact_ids": [row.contact_id for row in rows],
            "attempts": [row.attempt for row in rows],
            "lease": timedelta(minutes=1),
        }
        renewed = await explain(connection, "queue/renew", under_way)
        now = await connection.scalar(sa.text("SELECT now()"))
        ticket = {"ticket": "import-1", "check_time": now, "clock": now}
        held = await explain(connection, "ticket/hold", under_way | ticket)
    assert_by_index(renewed, "contact_syncs_pkey")
    assert_by_index(held, "contact_syncs_pkey")
