"""The hourly schedule of a CRM that keeps leads: there by itself, once, and then the admin's."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from crmsync.v1 import admin_service_pb2 as pb
from crmsync.v1 import connection_service_pb2, schedule_pb2, session_pb2
from crmsync.v1.crm_config_pb2 import CrmConfig
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service import accounts, leads
from tests.service.calls import failure, finished
from tests.store.schedules import make_due


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database."""
    return leads.settings_of(database_url, tmp_path)


async def schedules(client: CrmsyncClient) -> list[schedule_pb2.Schedule]:
    """List all schedules."""
    return list((await client.admin.ListSchedules(pb.ListSchedulesRequest())).schedules)


async def test_it_is_there_when_the_crm_is_connected(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Every hour, for thirty days; other CRMs have none."""
    await accounts.good(sandbox, "hubspot").connect(client)
    assert await schedules(client) == []
    await accounts.good(sandbox, "trading").connect(client)
    (hourly,) = await schedules(client)
    assert hourly.sync_recent_leads == schedule_pb2.SyncRecentLeadsAction(crm="trading", days=30)
    minute, *rest = hourly.cron.split()
    assert (0 <= int(minute) < 60, rest) == (True, ["*"] * 4)
    assert (hourly.enabled, hourly.creator) == (True, "crmsync")


async def test_it_runs_when_it_is_due_and_by_hand(
    client: CrmsyncClient, sandbox: Sandbox, database_url: str
) -> None:
    """Each run is a session that asks about leads."""
    await accounts.good(sandbox, "trading").connect(client)
    await leads.register(client)
    sandbox.trading.user.move("s-1", 9)
    await make_due(database_url)

    async def ran() -> schedule_pb2.Schedule:
        (found,) = await schedules(client)
        assert found.last_session_id
        return found

    hourly = await eventually(ran, within=10)
    session = await finished(client, hourly.last_session_id)
    assert session.kind == session_pb2.SESSION_KIND_LEAD_STATUS_SYNC
    assert session.creator == f"schedule:{hourly.id}"
    assert (session.leads.synced, session.leads.new_conversions) == (1, 1)
    again = await client.admin.RunSchedule(pb.RunScheduleRequest(schedule_id=hourly.id))
    assert (await finished(client, again.session.id)).leads.synced == 1


async def test_it_can_be_changed_and_does_not_come_back_when_it_is_deleted(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Neither with another connection, nor with a configuration, nor with a lead."""
    connection = await accounts.good(sandbox, "trading").connect(client)
    (hourly,) = await schedules(client)
    hourly.cron, hourly.sync_recent_leads.days = "0 6 * * *", 7
    mask = FieldMask(paths=["cron", "sync_recent_leads"])
    request = pb.UpdateScheduleRequest(schedule=hourly, update_mask=mask)
    daily = (await client.admin.UpdateSchedule(request)).schedule
    assert (daily.cron, daily.sync_recent_leads.days) == ("0 6 * * *", 7)
    await client.admin.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=daily.id))
    delete = connection_service_pb2.DeleteConnectionRequest(connection_id=connection.id)
    await client.connections.DeleteConnection(delete)
    await accounts.good(sandbox, "trading").connect(client)
    await configure(client)
    await leads.register(client)
    assert await schedules(client) == []


async def configure(client: CrmsyncClient) -> None:
    """Configure the CRM."""
    config = CrmConfig(crm="trading", enabled=True)
    mask = FieldMask(paths=["enabled"])
    await client.admin.UpdateCrmConfig(pb.UpdateCrmConfigRequest(config=config, update_mask=mask))


async def test_actions_that_a_crm_cannot_do_are_refused(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """When the schedule is made, or changed, not when it would run."""
    await accounts.good(sandbox, "hubspot").connect(client)
    await accounts.good(sandbox, "trading").connect(client)
    wrong = [
        schedule_pb2.Schedule(
            cron="0 * * * *", sync_recent_leads=schedule_pb2.SyncRecentLeadsAction(crm="hubspot")
        ),
        schedule_pb2.Schedule(
            cron="0 * * * *", queue_all=schedule_pb2.QueueAllAction(crm="trading")
        ),
        schedule_pb2.Schedule(cron="0 * * * *", sync=schedule_pb2.SyncAction(crm="trading")),
    ]
    (hourly,) = await schedules(client)
    for one in wrong:
        told = await failure(client.admin.CreateSchedule(pb.CreateScheduleRequest(schedule=one)))
        assert (told.code, told.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NOT_SUPPORTED",
        )
        one.id = hourly.id
        change = pb.UpdateScheduleRequest(schedule=one)
        assert (await failure(client.admin.UpdateSchedule(change))).reason == "NOT_SUPPORTED"
    assert await schedules(client) == [hourly]


class TestAnAccountOfTheServersOwn:
    """A broker for all organizations, from the settings."""

    @pytest.fixture
    def settings(self, database_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
        """Point a server at the broker."""
        broker = sandbox.trading.settings
        return leads.settings_of(
            database_url,
            tmp_path,
            trading_base_url=sandbox.urls["trading"],
            trading_username=broker.username,
            trading_password=broker.password,
            trading_options={"timeout_seconds": "2"},
        )

    async def test_the_first_lead_makes_the_schedule(self, client: CrmsyncClient) -> None:
        """Of that organization alone."""
        assert await schedules(client) == []
        assert (await leads.register(client)).created
        assert len(await schedules(client)) == 1

    async def test_configuring_makes_it_as_well(self, client: CrmsyncClient) -> None:
        """Before there is any lead."""
        await configure(client)
        await configure(client)
        assert len(await schedules(client)) == 1
