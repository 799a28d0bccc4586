"""What forecasts read, of sessions that share a lane."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.store import config, forecast, lane, session
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import statement
from tests.store import people
from tests.store.people import CRM, ORG


async def opened(database: Database, count: int, org_id: str = ORG) -> UUID:
    """Open a session over so many new contacts."""
    ids = await people.populate(database, count, org_id)
    async with database.org(org_id) as connection:
        return await people.enqueue(connection, ids, people.order(), org_id)


async def outlook(database: Database, session_id: UUID, org_id: str = ORG) -> sa.Row[Any]:
    """Read what is known of one session."""
    async with database.org(org_id) as connection:
        (found,) = await forecast.outlooks(connection, [(org_id, session_id)])
    return found


async def test_a_session_sees_what_is_queued_with_it(database: Database) -> None:
    """Its own, what was there before, and what came later."""
    first, second, third = [await opened(database, count) for count in (5, 3, 2)]
    await opened(database, 7, org_id="globex")
    seen = [await outlook(database, one) for one in (first, second, third)]
    assert [int(row.pending) for row in seen] == [5, 3, 2]
    assert [int(row.open) for row in seen] == [10, 10, 10]
    assert [int(row.later) for row in seen] == [5, 2, 0]


async def test_a_pause_is_told_with_its_end_or_as_one_without(database: Database) -> None:
    """Beside how fast the lane was measured."""
    session_id = await opened(database, 1)
    row = await outlook(database, session_id)
    assert (row.records_per_second, row.stopped, row.paused_seconds) == (None, None, None)
    until = datetime.now(UTC) + timedelta(minutes=5)
    async with database.org(ORG) as connection:
        await lane.measure(connection, ORG, CRM, 12.5)
        await lane.pause(connection, ORG, CRM, until=until, code="DAILY", message="")
    row = await outlook(database, session_id)
    assert (row.records_per_second, row.stopped) == (12.5, False)
    assert 290 < row.paused_seconds < 301
    async with database.org(ORG) as connection:
        await config.pause(connection, ORG, CRM, reason="", pauser="ada")
    row = await outlook(database, session_id)
    assert (row.stopped, row.paused_seconds) == (True, None)


async def test_what_has_ended_is_unknown_or_not_ours_has_no_outlook(database: Database) -> None:
    """Nothing is read of it."""
    ended, ours = await opened(database, 1), await opened(database, 1)
    theirs = await opened(database, 1, org_id="globex")
    async with database.org(ORG) as connection:
        await session.cancel(connection, ORG, ended)
        asked = [(ORG, ended), (ORG, new_id()), ("globex", theirs), (ORG, ours)]
        found = await forecast.outlooks(connection, asked)
    assert [row.id for row in found] == [ours]


async def test_what_has_ended_costs_a_forecast_nothing(database: Database) -> None:
    """However many sessions there were: those that are open have an index of their own."""
    session_id = await opened(database, 1)
    ended = sa.text(
        "INSERT INTO sessions (org_id, id, kind, crm, state, creator, end_time)"
        " SELECT :org_id, gen_random_uuid(), 'QUEUE_CONTACT', :crm, 'SUCCEEDED', 'ada', now()"
        " FROM generate_series(1, 20000)"
    )
    asked = {"org_ids": [ORG], "session_ids": [session_id]}
    explained = sa.text(f"EXPLAIN {statement('forecast/outlooks').text}")
    async with database.org(ORG) as connection:
        await connection.execute(ended, {"org_id": ORG, "crm": CRM})
        await connection.execute(sa.text("ANALYZE sessions"))
        plan = "\n".join(await connection.scalars(explained, asked))
    assert "sessions_open_idx" in plan
    assert "Seq Scan on sessions" not in plan
