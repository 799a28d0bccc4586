"""Lists of conflicts cost what they show, however many have ended."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import conflict_list, conflict_log
from crmsync_server.store.conflict_list import Filter
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_ids
from crmsync_server.store.statements import statement
from crmsync_server.store.states import ConflictState
from tests.store.people import CRM, ORG

_ENDED = 20_000
_OPEN = 30
_EACH = 40  # conflicts of a contact

_FIRST_PAGE: Mapping[str, Any] = {
    "org_id": ORG,
    "before_id": UUID(int=(1 << 128) - 1),
    "size": 50,
}

Plan = Mapping[str, Any]

_FILL = """
INSERT INTO conflicts (
    org_id, id, contact_id, crm, crm_contact_id, state, fields, ours_time, transaction, resolve_time
)
SELECT
    :org_id, i.id, i.contact_id, :crm, CAST(i.place AS text), CAST(:state AS text), '[]', now(),
    3 + i.place, CASE WHEN CAST(:state AS text) <> 'OPEN' THEN now() END
FROM unnest(CAST(:ids AS uuid []), CAST(:contact_ids AS uuid []))
    WITH ORDINALITY AS i (id, contact_id, place)
"""


@pytest.fixture(params=["never analyzed", "analyzed"])
async def contact_ids(database: Database, request: pytest.FixtureRequest) -> list[UUID]:
    """Fill a database with few conflicts that are open, and many newer ones that have ended."""
    contact_ids = new_ids(_ENDED // _EACH)
    async with database.org(ORG) as connection:
        # Autovacuum must not analyze halfway through a test.
        await connection.execute(sa.text("ALTER TABLE conflicts SET (autovacuum_enabled = false)"))
        for state, count in (("OPEN", _OPEN), ("RESOLVED", _ENDED)):
            parameters = {
                "org_id": ORG,
                "crm": CRM,
                "state": state,
                "ids": new_ids(count),
                "contact_ids": (contact_ids * _EACH)[:count],
            }
            await connection.execute(sa.text(_FILL), parameters)
    if request.param == "analyzed":
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    return contact_ids


async def rows_read(
    connection: AsyncConnection, query: sa.TextClause, parameters: Mapping[str, object]
) -> int:
    """Run a statement, and return how many conflicts it has looked at."""
    values = {one.key: one.value for one in query._bindparams.values()}  # noqa: SLF001 - it has no other way to tell
    text = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.text}")
    answer = await connection.scalar(text, {**values, **parameters})
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in _nodes(answer[0]["Plan"])
        if node.get("Relation Name") == "conflicts"
    )


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize("crm", [None, CRM])
async def test_a_page_of_open_ones_reads_no_other(
    database: Database, contact_ids: list[UUID], crm: str | None
) -> None:
    """Although they are older than all the rest."""
    assert contact_ids
    async with database.org(ORG) as connection:
        query = conflict_list.query(Filter(crm=crm, state=ConflictState.OPEN))
        assert await rows_read(connection, query, _FIRST_PAGE) == _OPEN


@pytest.mark.parametrize("crm", [None, CRM])
async def test_a_page_of_all_reads_what_it_shows(
    database: Database, contact_ids: list[UUID], crm: str | None
) -> None:
    """Once the table is analyzed, as autovacuum sees to."""
    assert contact_ids
    async with database.everyone() as connection:
        await connection.execute(sa.text("ANALYZE conflicts"))
    async with database.org(ORG) as connection:
        query = conflict_list.query(Filter(crm=crm))
        assert await rows_read(connection, query, _FIRST_PAGE) <= _FIRST_PAGE["size"]


async def test_the_conflicts_of_a_contact_are_found_by_it(
    database: Database, contact_ids: list[UUID]
) -> None:
    """However many others have some."""
    chosen = Filter(contact_id=contact_ids[0])
    async with database.org(ORG) as connection:
        found = await conflict_list.page(connection, ORG, chosen, size=50)
        assert {row.contact_id for row in found} == {contact_ids[0]}
        assert await rows_read(connection, conflict_list.query(chosen), _FIRST_PAGE) <= _EACH + 1


async def test_counting_the_open_ones_reads_no_other(
    database: Database, contact_ids: list[UUID]
) -> None:
    """By an index that holds nothing else."""
    assert contact_ids
    async with database.org(ORG) as connection:
        assert await conflict_list.open_counts(connection, ORG) == {CRM: _OPEN}
        query = statement("conflict_list/open_counts")
        assert await rows_read(connection, query, {"org_id": ORG}) == _OPEN


async def test_a_watch_reads_on_from_where_it_is(
    database: Database, contact_ids: list[UUID]
) -> None:
    """And nothing of what came before."""
    assert contact_ids
    async with database.org(ORG) as connection:
        bounds = await conflict_log.bounds(connection)
        asked = {
            "org_id": ORG,
            "transaction": 3 + _ENDED - 10,
            "conflict_id": UUID(int=0),
            "settled": max(bounds.settled, 3 + _ENDED + 1),
            "size": 500,
        }
        assert await rows_read(connection, statement("conflict_log/page"), asked) <= 15
