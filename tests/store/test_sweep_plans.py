"""What a whole reading looks up once for everything: by key, on a young table too."""

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.store import sweep
from crmsync_server.store.db import Database
from crmsync_server.store.statements import statement
from tests.store.people import CRM, ORG
from tests.store.records import Reading, ada

_COUNT = 3_000
_BIG = {"contacts", "contact_syncs", "sync_bases", "session_records"}

Plan = Mapping[str, Any]


@pytest.fixture(params=["never analyzed", "analyzed"])
async def reading(database: Database, request: pytest.FixtureRequest) -> Reading:
    """Read three thousand records, and half of them again in another session."""
    found = Reading(database)
    for table in _BIG:
        await found.rows(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    records = [ada(f"r{number}", email=f"person{number}@example.com") for number in range(_COUNT)]
    await found.open()
    await found.absorb(*records)
    await found.open()
    await found.absorb(*records[: _COUNT // 2])
    if request.param == "analyzed":
        await found.rows("ANALYZE")
    return found


@pytest.mark.parametrize("name", ["config/links", "sweep/gather", "sweep/gone", "sweep/linked"])
async def test_each_table_is_read_a_few_times_over_and_not_for_every_record(
    reading: Reading, name: str
) -> None:
    """However little the planner knows."""
    parameters = {"org_id": ORG, "crm": CRM, "session_id": reading.session_id}
    text = statement(name)
    wanted = {bind: parameters[bind] for bind in text.compile().params}
    explained = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {text.text}")
    async with reading.database.org(ORG) as connection:
        [answer] = (await connection.execute(explained, wanted)).scalars()
    for node in _nodes(answer[0]["Plan"]):
        if node.get("Relation Name") in _BIG and node["Node Type"] != "ModifyTable":
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert read * node["Actual Loops"] <= 3 * _COUNT, (name, node)


async def test_what_the_second_reading_did_not_bring_is_gathered(reading: Reading) -> None:
    """And nothing else."""
    session_id = reading.session_id
    assert session_id is not None
    async with reading.database.org(ORG) as connection:
        await sweep.gather(connection, ORG, session_id)
        first = await sweep.pending(connection, ORG, session_id, after="", size=100)
        others = await sweep.pending(connection, ORG, session_id, after=first[-1], size=_COUNT)
    keys = [f"r{number}" for number in range(_COUNT // 2, _COUNT)]
    assert [*first, *others] == sorted(keys)


def _nodes(plan: Plan) -> list[Plan]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]
