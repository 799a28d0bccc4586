"""The plans of searches: by the indexes made for them, analyzed or not, wherever a page begins."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from crmsync_server.store import search
from crmsync_server.store.contact_search import Position, SortField
from crmsync_server.store.db import Database
from crmsync_server.store.search_query import Matching, Query
from crmsync_server.store.statements import statement
from tests.store.indexing import index_all
from tests.store.people import CRM, ORG

_CONTACTS = 10_000
_FAILED = 20
_BIG = {"contacts", "contact_terms", "contact_syncs"}

# One in a thousand is rare in each way; everybody shares a word.
_FILL = """
INSERT INTO contacts (
    org_id, id, email, name, phone, company, tags, properties, content_hash, create_time
)
SELECT
    :org_id,
    CAST(lpad(to_hex(n), 32, '0') AS uuid),
    'person' || n || '@example.com',
    'Common ' || CASE WHEN n % 1000 = 0 THEN 'Rare' ELSE 'Person' || n END,
    '+49301' || lpad(CAST(n AS text), 6, '0'),
    CASE WHEN n % 1000 = 0 THEN 'Rare Ltd' ELSE 'Acme' END,
    CASE WHEN n % 1000 = 0 THEN CAST('{rare}' AS text []) ELSE CAST('{usual}' AS text []) END,
    jsonb_build_object('plan', CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'usual' END),
    'a',
    timestamptz '2026-01-01 00:00:00Z' + n * interval '1 minute'
FROM generate_series(1, :count) AS n
"""
_FAIL = """
INSERT INTO contact_syncs (org_id, contact_id, crm, sync_status, processing_status, error_code)
SELECT
    org_id, id, :crm,
    CASE WHEN n <= :failed THEN 'ERROR' ELSE 'COMPLETE' END,
    CASE WHEN n <= :failed THEN 'ERROR' ELSE 'COMPLETE' END,
    CASE WHEN n <= :failed THEN 'X' END
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM contacts) AS c
"""
_NOTE = """
INSERT INTO unindexed_contacts (org_id, contact_ids)
SELECT org_id, array_agg(id)
FROM (SELECT org_id, id, row_number() OVER () / 1000 AS part FROM contacts) AS c
GROUP BY org_id, part
"""

Plan = Mapping[str, Any]


@pytest.fixture(params=["never analyzed", "analyzed"])
async def full(database: Database, request: pytest.FixtureRequest) -> Database:
    """Fill a database with contacts that are indexed."""
    async with database.org(ORG) as connection:
        for table in _BIG:
            # Autovacuum must not analyze halfway through a test.
            await connection.execute(
                sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            )
        await connection.execute(sa.text(_FILL), {"org_id": ORG, "count": _CONTACTS})
        await connection.execute(sa.text(_FAIL), {"crm": CRM, "failed": _FAILED})
        await connection.execute(sa.text(_NOTE))
    await index_all(database)
    if request.param == "analyzed":
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    return database


class _Explained(Executable, ClauseElement):
    """A query that is run, and whose plan is answered."""

    inherit_cache = False

    def __init__(self, query: sa.Select[Any]) -> None:
        self.query = query


@compiles(_Explained)
def _explained(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    query = compiler.process(element.query, **options)
    return f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"


async def explain(connection: AsyncConnection, query: sa.Select[Any]) -> list[Plan]:
    """Run a query and return the nodes of its plan."""
    [[answer]] = await connection.execute(_Explained(query))
    plans = json.loads(answer) if isinstance(answer, str) else answer
    return list(_nodes(plans[0]["Plan"]))


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def read(plan: Sequence[Plan]) -> float:
    """Return how many rows of big tables and their indexes a plan has looked at."""
    return float(
        sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in plan
            if node.get("Relation Name") in _BIG
        )
    )


def indexes(plan: Sequence[Plan]) -> set[str]:
    """Return the indexes that serve a plan."""
    return {node["Index Name"] for node in plan if "Index Name" in node}


def query_of(text: str = "", filter_text: str = "", **order: Any) -> Matching:  # noqa: ANN401 - as Query
    """Return what a search looks for, when everything is indexed."""
    return Matching(Query(ORG, text, filter_text, (CRM,), **order))


_TERMS = "contact_terms_terms_idx"
_RARE = (
    ("rare", ""),
    ("common rar", ""),
    ("person7345", ""),
    ("49301012", ""),
    ("", "tags:RARE"),
    ("", "company = 'rare ltd'"),
    ("", "company = rare*"),
    ("", "name = 'Common Rare'"),
    ("", "properties.plan = Rare"),
    ("", "properties.plan = rar*"),
    ("", "tags:rare OR company = 'Rare Ltd'"),
    ("", "tags:rare AND NOT company:Acme"),
    ("common", "tags:rare"),
    ("", "email = person77@example.com"),
)
_BY_COLUMN = {
    "id = 00000000-0000-0000-0000-00000000004d": "contacts_pkey",
    "create_time > 2026-01-07T22:00:00Z": "contacts_create_time_idx",
    "update_time > 2999-01-07T22:00:00Z": "contacts_update_time_idx",
    f"sync.{CRM} = ERROR": "contact_syncs_failed_idx",
}


async def test_what_is_rare_is_found_by_an_index(full: Database) -> None:
    """Behind the wall of its organization, and without reading what does not match."""
    found = {}
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        for asked in _RARE:
            query = query_of(*asked).ordered(valued=True, after=None).limit(51)
            plan = await explain(connection, query)
            if _TERMS not in indexes(plan) or read(plan) > _CONTACTS / 20:
                found[asked] = read(plan), indexes(plan)
    assert found == {}


@pytest.mark.parametrize("full", ["analyzed"], indirect=True)
async def test_ids_times_and_failures_have_indexes_of_their_own(full: Database) -> None:
    """Without reading what does not match."""
    found = {}
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        for asked, index in _BY_COLUMN.items():
            query = query_of("", asked).ordered(valued=True, after=None).limit(51)
            plan = await explain(connection, query)
            if index not in indexes(plan) or read(plan) > _CONTACTS / 20:
                found[asked] = read(plan), indexes(plan)
    assert found == {}


_COMMON = (("common", ""), ("", "tags:usual"), ("", f"sync.{CRM} = COMPLETE"))


@pytest.mark.parametrize("deep", [False, True], ids=["first page", "deep page"])
async def test_what_is_common_is_found_along_the_order(full: Database, *, deep: bool) -> None:
    """Looking at so many contacts and no more, wherever a page begins."""
    found = {}
    after = Position(datetime(2026, 1, 4, tzinfo=UTC), UUID(int=0)) if deep else None
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        for asked in _COMMON:
            query = query_of(*asked).walked(valued=True, after=after, length=100).limit(51)
            plan = await explain(connection, query)
            if "contacts_create_time_idx" not in indexes(plan) or read(plan) > 300:
                found[asked] = read(plan), indexes(plan)
    assert found == {}


_ORDERS: Mapping[SortField, tuple[str, str | datetime]] = {
    SortField.CREATE_TIME: ("contacts_create_time_idx", datetime(2026, 1, 4, tzinfo=UTC)),
    SortField.UPDATE_TIME: ("contacts_update_time_idx", datetime(2026, 1, 4, tzinfo=UTC)),
    SortField.NAME: ("contacts_name_idx", "Common Person5"),
    SortField.EMAIL: ("contacts_email_key", "person5"),
}


@pytest.mark.parametrize("deep", [False, True], ids=["first page", "deep page"])
async def test_every_order_has_an_index(full: Database, *, deep: bool) -> None:
    """A page of it reads its own rows."""
    found = {}
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        for field, (index, value) in _ORDERS.items():
            after = Position(value, UUID(int=0)) if deep else None
            matching = query_of(field=field, descending=False)
            plan = await explain(connection, matching.ordered(valued=True, after=after).limit(51))
            if index not in indexes(plan) or read(plan) > 60:
                found[field] = read(plan), indexes(plan)
    assert found == {}


async def test_a_total_reads_no_more_than_it_counts(full: Database) -> None:
    """However many there are."""
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        rows = query_of("common").rows().with_only_columns(sa.literal(1)).limit(1001)
        plan = await explain(connection, rows)
    assert read(plan) <= 2 * 1001 + 1


async def test_a_total_of_what_is_dense_reads_terms_side_by_side(full: Database) -> None:
    """In the order of their key, and no more of them than it counts."""
    async with full.org(ORG) as connection:
        await connection.execute(statement("search/prepare"))
        rows = query_of("common").rows_among(_CONTACTS)
        assert rows is not None
        counted = rows.with_only_columns(sa.literal(1)).limit(1001)
        plan = await explain(connection, counted)
    assert "contact_terms_pkey" in indexes(plan)
    assert _TERMS not in indexes(plan)
    assert read(plan) <= 2 * 1001 + 1


@pytest.mark.parametrize("full", ["analyzed"], indirect=True)
async def test_a_total_is_exact_however_it_is_counted(full: Database) -> None:
    """Up to a thousand; taken for dense or not, with a page or alone."""
    async with full.org(ORG) as connection:
        for asked, number in ((("rare", ""), 10), (("", "tags:rare"), 10), (("common", ""), 1001)):
            matching = await search.prepare(connection, Query(ORG, *asked, (CRM,)))
            assert await search.total(connection, matching) == number
            assert await search.total(connection, matching, dense=True) == number
        matching = await search.prepare(connection, Query(ORG, "rare", "", (CRM,)))
        page = await search.page(connection, matching, size=3)
    assert (len(page.rows), page.at_least, page.exact) == (3, 10, True)


async def test_contacts_are_followed_by_their_keys(full: Database) -> None:
    """And nothing else of them is read."""
    async with full.everyone() as connection:
        await connection.execute(sa.text(_NOTE))
        text = statement("search_index/follow").text
        answer = await connection.scalar(
            sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}"), {"size": 1, "contact_count": 1}
        )
        plan = list(_nodes(answer[0]["Plan"]))
    assert "contacts_pkey" in indexes(plan)
    assert read(plan) <= 3_000
