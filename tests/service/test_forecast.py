"""What a session is expected to take, through a real channel, and a day that is used up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from crmsync.v1 import admin_service_pb2 as admin
from crmsync.v1 import session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.hubspot import HubSpot, HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service.calls import finished, import_many, queue_all
from tests.service.conftest import SECRET


@dataclass(frozen=True)
class Scarce:
    """A portal, and who is connected to a server that delivers to it."""

    hubspot: HubSpot
    client: CrmsyncClient


async def get(client: CrmsyncClient, session_id: str) -> session_pb2.Session:
    """Read a session."""
    request = pb.GetSessionRequest(session_id=session_id)
    return (await client.sessions.GetSession(request)).session


async def test_a_session_tells_what_it_will_take(client: CrmsyncClient) -> None:
    """Wherever it is read, until it has ended; without an end while the CRM is paused."""
    await client.admin.PauseCrm(admin.PauseCrmRequest(crm="hubspot"))
    await import_many(client, 250)
    opened = await queue_all(client)
    read = await get(client, opened.id)
    (listed,) = (await client.sessions.ListSessions(pb.ListSessionsRequest())).sessions
    watched = await anext(client.watch_session(opened.id))
    for session in (read, listed, watched):
        told = session.forecast
        assert told.calls_needed == 3
        assert told.daily_limit == 625_000
        assert told.daily_share == pytest.approx(3 / 625_000)
        assert not told.HasField("completion_time")
    await client.admin.ResumeCrm(admin.ResumeCrmRequest(crm="hubspot"))
    ended = await finished(client, opened.id)
    assert ended.progress.synced == 250
    assert not ended.HasField("forecast")
    assert not (await get(client, opened.id)).HasField("forecast")


@pytest.fixture
def portal() -> HubSpotSettings:
    """Open a portal with forty calls in a day."""
    return HubSpotSettings(daily_limit=40)


@pytest.fixture
async def scarce(portal: HubSpotSettings, settings: Settings) -> AsyncIterator[Scarce]:
    """Run that portal alone, and a server that delivers to it."""
    async with Sandbox(hubspot=portal) as sandbox:
        there = settings.model_copy(update={"hubspot_base_url": sandbox.urls["hubspot"]})
        async with (
            serving(there, authenticator_of(there, SECRET)) as running,
            CrmsyncClient(f"127.0.0.1:{running.port}") as client,
        ):
            yield Scarce(sandbox.hubspot, client)


async def test_a_used_up_day_lasts_until_the_portals_midnight(scarce: Scarce) -> None:
    """The session says so, and HubSpot is not asked again and again."""
    await import_many(scarce.client, 5000)
    opened = await queue_all(scarce.client)

    async def used_up() -> session_pb2.Forecast:
        told = (await get(scarce.client, opened.id)).forecast
        assert told.limiting_bucket == "daily"
        # The last few calls of the day are kept for what is urgent.
        assert told.daily_remaining <= 4
        return told

    told = await eventually(used_up)
    here = datetime.now(ZoneInfo(scarce.hubspot.settings.time_zone))
    midnight = datetime.combine(here.date() + timedelta(days=1), time.min, here.tzinfo)
    reset = told.daily_reset_time.ToDatetime(UTC)
    assert abs(reset - midnight) < timedelta(minutes=1)
    assert told.completion_time.ToDatetime(UTC) >= midnight
    calls = scarce.hubspot.calls.as_json()["calls"]
    assert isinstance(calls, list)
    assert sum(one["count"] for one in calls if one["status"] == "429") <= 8
