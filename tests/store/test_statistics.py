"""Statistics by the hour: added up, folded, and read by index without the history."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server import store
from crmsync_server.store import hours, statistics
from crmsync_server.store.db import Database
from crmsync_server.store.response_times import Answered, histogram, percentile
from crmsync_server.store.statements import statement
from crmsync_server.store.statistics import Span
from tests.store.people import CRM, ORG

_SQL = Path(store.__file__).parent / "sql"
_READS = ("totals", "series", "steps", "errors", "busiest", "standings")
_SCANNED = ("sync_hours", "error_hours", "read_hours", "contact_syncs", "notices")

Plan = Mapping[str, Any]


def span(days: int = 500, end: datetime | None = None) -> Span:
    """Return the last so many days."""
    end = end or datetime.now(UTC)
    return Span(ORG, ["brevo", CRM], end - timedelta(days=days), end)


async def fill(database: Database, days: int = 400) -> None:
    """Have a lane deliver all the time, and another organization as well."""
    async with database.everyone() as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO sync_hours (org_id, crm, hour, slot, synced, errors, calls,"
                "  call_records, call_seconds, call_steps)"
                " SELECT org, crm, date_trunc('hour', now(), 'UTC') - make_interval(hours => age),"
                "  slot, 10 + age % 24, 1, 2, 11, 0.5, ARRAY[0, 1, 1]"
                " FROM generate_series(0, :hours) AS age, unnest(ARRAY[0, 5]) AS slot,"
                "  unnest(ARRAY['acme', 'globex']) AS org, unnest(ARRAY['hubspot', 'zoho']) AS crm"
            ),
            {"hours": 24 * days},
        )
        await connection.execute(
            sa.text(
                "INSERT INTO error_hours (org_id, crm, hour, code, slot, attempts, errors)"
                " SELECT h.org_id, h.crm, h.hour, 'HTTP_503', h.slot, 2, 1 FROM sync_hours AS h"
            )
        )
        await connection.execute(
            sa.text(
                "INSERT INTO read_hours (org_id, crm, hour, slot, session_records, notice_records)"
                " SELECT h.org_id, h.crm, h.hour, h.slot, 5, 2 FROM sync_hours AS h"
            )
        )
        await connection.execute(sa.text("ANALYZE"))


async def all_of(database: Database) -> tuple[object, ...]:
    """Return everything that the statistics tell."""
    async with database.org(ORG) as connection:
        return (
            await statistics.totals(connection, span()),
            await statistics.series(connection, span(), "day"),
            await statistics.steps(connection, span()),
            await statistics.errors(connection, span()),
            await statistics.busiest(connection, span()),
        )


async def test_folding_changes_nothing_but_the_number_of_rows(database: Database) -> None:
    """Twice is as good as once, and the hours that are written still stay as they are."""
    await fill(database, days=3)
    before = await all_of(database)
    for _ in range(2):
        async with database.everyone() as connection:
            await hours.fold(connection)
        assert await all_of(database) == before
    async with database.everyone() as connection:
        rows = await connection.scalar(
            sa.text("SELECT count(*) FROM sync_hours WHERE org_id = 'acme' AND crm = 'hubspot'")
        )
    assert rows == 24 * 3 + 1 - 3 + 2 * 3


async def test_what_comes_late_to_an_hour_that_was_folded_is_folded_too(
    database: Database,
) -> None:
    """A transaction may have begun in it; its histogram may be longer."""
    await fill(database, days=1)
    late = sa.text(
        "INSERT INTO sync_hours (org_id, crm, hour, slot, synced, calls, call_steps)"
        " VALUES ('acme', 'hubspot', date_trunc('hour', now(), 'UTC') - interval '5 hours', 3, 7,"
        "  1, ARRAY[0, 0, 0, 0, 1])"
    )
    async with database.everyone() as connection:
        await hours.fold(connection)
        await connection.execute(late)
    before = await all_of(database)
    async with database.everyone() as connection:
        await hours.fold(connection)
    assert await all_of(database) == before


async def test_totals_are_those_of_one_organization_and_the_crms_asked_for(
    database: Database,
) -> None:
    """By CRM, by period and by code alike."""
    await fill(database, days=1)
    async with database.org(ORG) as connection:
        [row] = await statistics.totals(connection, span(days=2))
        days = await statistics.series(connection, span(days=2), "day")
        found = await statistics.steps(connection, span(days=2))
        [error] = await statistics.errors(connection, span(days=2))
        busiest = await statistics.busiest(connection, span(days=2))
    assert (row.crm, row.errors, row.calls, row.session_records) == (CRM, 50, 100, 250)
    assert row.synced == sum(one.synced for one in days)
    assert found == {CRM: [0, 50, 50]}
    assert (error.crm, error.code, error.attempts, error.errors) == (CRM, "HTTP_503", 100, 50)
    assert busiest[None].synced == busiest[CRM].synced == 2 * 33


@pytest.mark.parametrize("name", _READS)
async def test_no_statistic_reads_a_table_as_a_whole_or_the_history(
    database: Database, name: str
) -> None:
    """Of a year of hours only those that are asked for are read."""
    await fill(database)
    parameters = {**span(days=2).parameters, "period": "hour"}
    text = statement(f"statistics/{name}")
    wanted = {key: parameters[key] for key in text.compile().params}
    async with database.org(ORG) as connection:
        # Tables of a few rows are read as a whole, whatever index they have.
        await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        answer = await connection.scalar(
            sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {text.text}"), wanted
        )
    plan = list(_nodes(answer[0]["Plan"]))
    read = {node["Relation Name"] for node in plan if "Relation Name" in node}
    assert not [table for table in read if table.startswith("sync_attempts")]
    for node in plan:
        if node.get("Relation Name") in _SCANNED:
            assert node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
            assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 200


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def test_no_statement_of_statistics_names_the_history() -> None:
    """Neither those that read nor those that fold."""
    for folder in ("statistics", "hours", "stats"):
        for path in (_SQL / folder).glob("*.sql"):
            assert "sync_attempts" not in path.read_text(encoding="utf-8"), path


@given(st.lists(st.floats(0.0011, 2000), min_size=1, max_size=50), st.integers(1, 50))
def test_a_percentile_is_right_to_within_a_tenth(seconds: list[float], rank: int) -> None:
    """Whatever the times are, from a millisecond to half an hour."""
    rank = min(rank, len(seconds))
    counts = histogram([Answered(one, 1) for one in seconds])
    assert sum(counts) == len(seconds)
    found = percentile(counts, (rank - 0.5) / len(seconds))
    assert found == pytest.approx(sorted(seconds)[rank - 1], rel=0.1)


def test_there_is_no_percentile_of_nothing() -> None:
    """And a call of no time is in the first step."""
    assert percentile([], 0.5) is None
    assert percentile([0, 0], 0.5) is None
    assert histogram([Answered(0.0, 1)]) == [1]
    assert histogram([]) == []
