"""The plans of what reads and retries failures: by the indexes made for them, analyzed or not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import failure
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import statement
from tests.store import people
from tests.store.failing import fail
from tests.store.people import CRM, ORG

_CONTACTS = 10_000
_FAILED = 2_000
_BIG = {"contact_syncs", "session_items", "contacts"}

Plan = Mapping[str, Any]


@pytest.fixture(params=["never analyzed", "analyzed"])
async def failed(database: Database, request: pytest.FixtureRequest) -> Sequence[UUID]:
    """Fill a database with a queue, and with failures; return those that failed."""
    ids = await people.populate(database, _CONTACTS)
    async with database.org(ORG) as connection:
        # Autovacuum must not analyze halfway through a test.
        for table in _BIG:
            await connection.execute(
                sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            )
    await fail(database, ids[:_FAILED])
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids[_FAILED:], people.order())
    if request.param == "analyzed":
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    return ids[:_FAILED]


async def explain(
    connection: AsyncConnection, text: str, parameters: Mapping[str, object]
) -> list[Plan]:
    """Run a statement and return the nodes of its plan."""
    answer = await connection.scalar(
        sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}"), dict(parameters)
    )
    return list(_nodes(answer[0]["Plan"]))


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def read(plan: Sequence[Plan]) -> int:
    """Return how many rows of big tables and their indexes a plan has looked at."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in plan
        if node.get("Relation Name") in _BIG and node["Node Type"] != "ModifyTable"
    )


def indexes(plan: Sequence[Plan]) -> set[str]:
    """Return the indexes that serve a plan."""
    return {node["Index Name"] for node in plan if "Index Name" in node}


@pytest.mark.parametrize("deep", [False, True], ids=["first page", "deep page"])
async def test_a_page_costs_its_rows(
    database: Database, failed: Sequence[UUID], *, deep: bool
) -> None:
    """However many failures there are, and wherever the page begins."""
    after = failure.Place(datetime.now(UTC), failed[1_000]) if deep else None
    query = failure.newest_first(ORG, CRM, None, after).limit(50)
    text = str(query.compile(dialect=pg.dialect(), compile_kwargs={"literal_binds": True}))  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    async with database.org(ORG) as connection:
        plan = await explain(connection, text.replace("%%", "%").replace("::", "\\:\\:"), {})
    assert "contact_syncs_failed_idx" in indexes(plan)
    assert read(plan) <= 200


async def test_the_total_is_known_and_not_counted(
    database: Database, failed: Sequence[UUID]
) -> None:
    """But for what the credentials keep back."""
    async with database.org(ORG) as connection:
        parameters = {"org_id": ORG, "crm": CRM}
        plan = await explain(connection, statement("failure/total").text, parameters)
        assert await failure.count(connection, ORG, CRM, None) == len(failed)
    assert "contact_syncs_refused_idx" in indexes(plan)
    assert read(plan) == 0


@pytest.mark.parametrize("one", [False, True], ids=["all", "one"])
async def test_a_retry_reads_no_record_for_each_of_the_others(
    database: Database, failed: Sequence[UUID], *, one: bool
) -> None:
    """One is found by its key; all of them by their keys, or each table is read once."""
    parameters = {
        "org_id": ORG,
        "crm": CRM,
        "session_id": new_id(),
        "kind": "RETRY_ALL_FAILURES",
        "creator": "tests",
        "slot": 0,
        "contact_id": failed[0] if one else None,
        "requires_email": True,
        "reset": False,
        "waits": [timedelta(hours=1)],
    }
    async with database.org(ORG) as connection:
        plan = await explain(connection, statement("failure/retry").text, parameters)
    assert read(plan) <= (10 if one else 2 * _CONTACTS)


async def test_a_cancel_finds_its_record_by_its_key(
    database: Database, failed: Sequence[UUID]
) -> None:
    """And its items and sessions by theirs."""
    assert failed
    async with database.org(ORG) as connection:
        waiting = await connection.scalar(
            sa.text("SELECT contact_id FROM contact_syncs WHERE sync_status = 'QUEUED' LIMIT 1")
        )
        parameters = {"org_id": ORG, "crm": CRM, "contact_id": waiting, "slot": 0}
        plan = await explain(connection, statement("standing/cancel").text, parameters)
    assert {"contact_syncs_pkey", "session_items_contact_idx"} <= indexes(plan)
    assert read(plan) <= 10
