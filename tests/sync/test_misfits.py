"""Accounts that no adapter can be built for: why is said once, and by whom it can be mended."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from crmsync_server.crm.adapter import Standing
from crmsync_server.store import lane
from crmsync_server.store.db import Database
from crmsync_server.sync.misfits import Misfits

ORG, CRM = "acme", "hubspot"
CLOSED = "the lane is closed until a probe"


async def _unnoted(_connection: AsyncConnection, _org: str, _crm: str, _found: Standing) -> None:
    return


async def test_a_wrong_setting_is_one_line_in_the_log(database: Database) -> None:
    """Without a stack trace: whoever wrote the setting is to read it."""
    misfits, why = Misfits(database, _unnoted), ValueError("the option 'burst' is none")
    with capture_logs() as logs:
        await misfits.report(ORG, CRM, why)
        await misfits.report(ORG, CRM, why)
    assert [line["event"] for line in logs] == [CLOSED]
    assert (logs[0]["why"], logs[0]["crm"]) == ("the option 'burst' is none", CRM)


async def test_a_fault_of_the_adapter_is_told_whole_in_the_log_alone(database: Database) -> None:
    """Its text may hold anything, and is not shown to callers."""
    misfits = Misfits(database, _unnoted)
    with capture_logs() as logs:
        await misfits.report(ORG, CRM, KeyError("canary"))
    assert [line["event"] for line in logs] == ["no adapter could be built", CLOSED]
    assert logs[1]["why"] == "see the server's log"
    async with database.org(ORG) as connection:
        assert await lane.resume(connection, ORG, CRM, codes=["MISCONFIGURED"])


async def test_a_lane_is_looked_at_again_at_its_time_only(database: Database) -> None:
    """However often the engine is woken: each look builds an adapter, before all other lanes."""
    misfits, why = Misfits(database, _unnoted), ValueError("the option 'burst' is none")
    for trips, least in ((1, 50), (2, 110), (2, 110)):
        await misfits.report(ORG, CRM, why)
        async with database.org(ORG) as connection:
            found = await connection.execute(
                sa.text("SELECT trips, extract(EPOCH FROM paused_until - now()) AS s FROM lanes")
            )
            row = found.one()
            assert (row.trips, row.s > least) == (trips, True)
            if trips == 1:
                await connection.execute(sa.text("UPDATE lanes SET paused_until = now()"))
