"""Sessions that ask a broker about many leads: few calls, each lead once, whatever happens."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmsync.v1 import session_pb2
from crmsync.v1 import session_service_pb2 as sessions
from crmsync.v1.session_item_pb2 import SESSION_ITEM_OUTCOME_SKIPPED
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading import Trading
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.service import accounts, leads
from tests.service.calls import failure, finished
from tests.service.starting import items
from tests.store.leads import sound


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database."""
    return leads.settings_of(database_url, tmp_path)


@pytest.fixture
async def broker(client: CrmsyncClient, sandbox: Sandbox) -> Trading:
    """Connect the organization to a broker, and return it."""
    await accounts.good(sandbox, "trading").connect(client)
    return sandbox.trading


@pytest.mark.slow
async def test_ten_thousand_leads_take_a_hundred_calls(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """No page is read where every id is known; the counts are the rows'."""
    ids = await leads.put(database, 10_000)
    broker.user.seed(ids)
    for lead_id in ids[:2_500]:
        broker.user.move(lead_id, 9)
    session = await leads.sync_all(client)
    assert session.state == session_pb2.SESSION_STATE_SUCCEEDED
    found = session.leads
    assert (found.synced, found.updated, found.conversions) == (10_000, 10_000, 2_500)
    assert session.progress.total == 10_000
    assert leads.count(broker) <= 100
    told = await leads.stats(client)
    assert (told.total_synced, told.conversion_rate) == (10_000, 0.25)
    await sound(database)


async def test_leads_that_are_known_by_email_alone_are_read_page_by_page(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """Past five hundred; what belongs to nobody here is left alone, what is missing is named."""
    ids = await leads.put(database, 1_204, emails=True)
    for number, lead_id in enumerate(ids[:-1]):
        broker.user.add(f"else-{number}", email=f"MAIL-{lead_id}@example.com")
    broker.user.add("", email="nobody@example.com")
    session = await leads.sync_all(client)
    assert (session.leads.synced, session.progress.skipped) == (1_203, 1)
    assert leads.count(broker) == 13 + 3
    skipped = [
        one
        for one in await items(client, session.id)
        if one.outcome == SESSION_ITEM_OUTCOME_SKIPPED
    ]
    assert [(one.crm_contact_id, one.error.code) for one in skipped] == [(ids[-1], "NOT_AT_CRM")]
    await sound(database)


async def test_a_lead_that_the_broker_dates_a_day_earlier_is_found(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """By its days, which are not ours; who came before the time that is asked about is not read."""
    ids = await leads.put(database, 2, emails=True)
    earlier = datetime.combine(datetime.now(UTC), time(), UTC) - timedelta(days=7, hours=1)
    for number, lead_id in enumerate(ids):
        broker.user.add(f"else-{number}", email=f"mail-{lead_id}@example.com", created=earlier)
    async with database.org("default") as connection:
        made = (
            "UPDATE leads SET create_time = now() + interval '1 minute' - CAST(:age AS interval)"
            " WHERE id = :id"
        )
        for lead_id, days in zip(ids, (7, 8), strict=True):
            age = timedelta(days=days)
            await connection.execute(sa.text(made), {"id": lead_id, "age": age})
    session = await leads.sync_all(client)
    assert (session.leads.synced, session.progress.skipped) == (1, 0)


async def test_only_the_leads_of_the_last_days_are_asked_about(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """Seven, unless it is told otherwise."""
    ids = await leads.put(database, 3)
    broker.user.seed(ids)
    async with database.org("default") as connection:
        old = "UPDATE leads SET create_time = now() - interval '8 days' WHERE id = :id"
        await connection.execute(sa.text(old), {"id": ids[0]})
    assert (await leads.sync_all(client)).leads.synced == 2
    assert (await leads.sync_all(client, 9)).leads.synced == 3


async def test_one_session_about_leads_at_a_time(client: CrmsyncClient, broker: Trading) -> None:
    """Another is refused with the first one's id; the first can be cancelled."""
    await leads.register(client)
    broker.faults.script(ScriptedFault(kind="hang", path="/accounts"))
    first = await leads.start(client)
    told = await failure(leads.start(client))
    assert (told.reason, told.metadata["session_id"]) == ("SESSION_ACTIVE", first.id)
    cancelled = await client.sessions.CancelSession(
        sessions.CancelSessionRequest(session_id=first.id)
    )
    assert cancelled.session.state == session_pb2.SESSION_STATE_CANCELLED


async def test_a_session_outlives_faults_of_the_broker(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """Every lead is counted once although calls were repeated."""
    ids = await leads.put(database, 500)
    broker.user.seed(ids)
    broker.faults.settings = FaultSettings(server_error_rate=0.3, seed=3)
    session = await leads.sync_all(client)
    assert session.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (session.leads.synced, session.leads.updated) == (500, 500)
    await sound(database)


async def test_a_refused_key_fails_the_session_and_says_so(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """Nothing is counted that was not told."""
    broker.user.seed(await leads.put(database, 3))
    broker.faults.settings = FaultSettings(token_expired=True)
    session = await leads.sync_all(client)
    assert session.state == session_pb2.SESSION_STATE_FAILED
    assert session.error.code == "CREDENTIALS_REFUSED"
    assert (await leads.stats(client)).total_synced == 0


async def test_another_server_goes_on_where_one_was_stopped(
    settings: Settings, sandbox: Sandbox, database: Database
) -> None:
    """What was stored is not asked for again."""
    broker = sandbox.trading
    async with leads.running(settings) as client:
        await accounts.good(sandbox, "trading").connect(client)
        broker.user.seed(await leads.put(database, 1_000))
        passing = [ScriptedFault(kind="delay", path="/accounts")] * 5
        broker.faults.script(*passing, ScriptedFault(kind="hang", path="/accounts"))
        session = await leads.start(client)

        async def stuck() -> None:
            assert not broker.faults.scripted

        await eventually(stuck)
    async with leads.running(settings) as client:
        ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (ended.leads.synced, ended.leads.updated) == (1_000, 1_000)
    assert leads.count(broker) <= 11 + 1
    await sound(database)
