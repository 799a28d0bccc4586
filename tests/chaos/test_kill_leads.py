"""kill -9 of a server that asks a broker about leads, or hands one over: each counts once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync.v1 import lead_pb2, session_pb2
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading import TradingSettings
from crmsync_server.store.invariants import violations
from tests.chaos.served import Served, served
from tests.eventually import eventually
from tests.service import accounts, leads
from tests.service.calls import finished

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

_SEED = 6
_LEADS = 3_000
_CONVERTED = 500
# The broker knows so many by their email alone, and of the last one nothing.
_BY_EMAIL = 700
_KILLS = 6
_LONGEST_LIFE = 4
_SLOW = FaultSettings(latency_seconds=0.2)


@dataclass(frozen=True)
class Result:
    """What a session leaves behind."""

    session: tuple[int, ...]
    stats: lead_pb2.LeadStats
    leads: list[tuple[Any, ...]]
    history: list[tuple[Any, ...]]


@asynccontextmanager
async def _broker(folder: Path) -> AsyncIterator[tuple[Served, CrmsyncClient]]:
    """Run a server that is connected to a broker whose leads only people move."""
    async with (
        Sandbox(trading=TradingSettings(pace=0)) as sandbox,
        served(folder, sandbox, {}) as running,
        running.client() as client,
    ):
        await accounts.good(sandbox, "trading").connect(client)
        yield running, client


async def _fill(running: Served) -> None:
    """Have leads here and at the broker, some of whom have deposited."""
    ids, user = await leads.put(running.database, _LEADS), running.sandbox.trading.user
    user.seed(ids[:-_BY_EMAIL])
    for lead_id in ids[-_BY_EMAIL:-1]:
        user.add("", email=f"{lead_id}@EXAMPLE.com")
    for lead_id in ids[:_CONVERTED]:
        user.move(lead_id, 9)


async def _ended(running: Served, client: CrmsyncClient, session: session_pb2.Session) -> Result:
    assert session.state == session_pb2.SESSION_STATE_SUCCEEDED, session
    async with running.database.everyone() as connection:
        assert not await violations(connection)
    told = session.leads
    counts = (told.synced, told.updated, told.conversions, told.new_conversions)
    stats = await leads.stats(client)
    stats.ClearField("last_sync_time")
    return Result(
        (*counts, session.progress.total, session.progress.skipped),
        stats,
        await running.rows(
            "SELECT id, status_code, ftd_exists, changes, registration, crm_lead_id FROM leads"
            " ORDER BY id"
        ),
        await running.rows(
            "SELECT lead_id, sequence, status_code, conversion FROM lead_history ORDER BY 1, 2"
        ),
    )


async def _undisturbed(folder: Path) -> Result:
    async with _broker(folder) as (running, client):
        await _fill(running)
        return await _ended(running, client, await leads.sync_all(client))


async def _disturbed(folder: Path) -> Result:
    random = Random(_SEED)  # noqa: S311 - it chooses when to kill
    async with _broker(folder) as (running, client):
        await _fill(running)
        broker = running.sandbox.trading
        broker.faults.settings = _SLOW
        session = await leads.start(client)
        for _ in range(_KILLS):
            asked = leads.count(broker) + random.randint(1, _LONGEST_LIFE)

            def reached(times: int = asked) -> None:
                assert leads.count(broker) >= times

            await eventually(reached, within=30)
            await running.server.kill()
            # A kill after the end would prove nothing.
            assert await running.rows("SELECT state FROM sessions") == [("RUNNING",)]
            await running.start()
        result = await _ended(running, client, await finished(client, session.id))
        broker.faults.settings = FaultSettings()
        again = (await leads.sync_all(client)).leads
        assert (again.updated, again.new_conversions) == (0, 0)
        assert (again.synced, again.conversions) == (_LEADS - 1, _CONVERTED)
        return result


async def test_a_session_about_leads_whose_server_is_killed_ends_like_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    """Each lead, change and conversion is counted once; who is not there is named."""
    for name in ("quiet", "killed"):
        (tmp_path / name).mkdir()
    expected = await _undisturbed(tmp_path / "quiet")
    counts = (_LEADS - 1, _LEADS - 1, _CONVERTED, _CONVERTED, _LEADS, 1)
    assert expected.session == counts
    assert await _disturbed(tmp_path / "killed") == expected


@pytest.mark.parametrize("taken", [True, False])
async def test_a_lead_whose_registration_was_cut_off_is_registered_once(
    tmp_path: Path, *, taken: bool
) -> None:
    """Whether the broker had taken it or not: it is looked up before it is sent again."""
    async with _broker(tmp_path) as (running, client):
        broker = running.sandbox.trading
        broker.faults.script(ScriptedFault(kind="hang", applied=taken, path=leads.REGISTRATION))
        registering = asyncio.create_task(leads.register(client))

        def begun() -> None:
            assert not broker.faults.scripted
            assert len(broker.accounts) == taken

        await eventually(begun)
        await running.server.kill()
        registering.cancel()
        await asyncio.wait([registering])
        await running.start()
        assert (await leads.get(client)).registration == lead_pb2.LEAD_REGISTRATION_REGISTERING
        # Whoever held it is gone; nobody else takes it before its time is over.
        async with running.database.org("default") as connection:
            await connection.execute(sa.text("UPDATE leads SET registration_until = now()"))
        found = await leads.register(client)
        assert found.created is not taken
        assert len(broker.accounts) == 1
