"""What admins decide is what deliveries do, on a running server."""

import asyncio
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import admin_service_pb2 as pb
from crmsync.v1 import contact_sync_pb2 as standing
from crmsync.v1 import crm_config_pb2, session_pb2, sync_service_pb2
from crmsync.v1.crm_config_pb2 import CrmConfig, FieldMapping, MappingRule, Transform
from crmsync.v1.schedule_pb2 import QueueAllAction, Schedule
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, import_many, new_uuid, queue_all

UPPER = Transform(text=crm_config_pb2.TEXT_TRANSFORM_UPPER)


async def configure(client: CrmsyncClient, crm: str = "hubspot", **values: Any) -> CrmConfig:  # noqa: ANN401 - a value of the field
    """Change what is configured for a CRM: what is given, also to nothing."""
    request = pb.UpdateCrmConfigRequest(config=CrmConfig(crm=crm, **values))
    request.update_mask.paths.extend(values)
    return (await client.admin.UpdateCrmConfig(request)).config


async def synced(client: CrmsyncClient) -> session_pb2.SessionProgress:
    """Queue everything, and return what became of it."""
    return (await finished(client, (await queue_all(client)).id)).progress


def held(sandbox: Sandbox) -> list[Any]:
    """Return the properties of every contact that the simulated HubSpot holds."""
    return [one["properties"] for one in sandbox.hubspot.contacts()]


async def test_a_mapping_is_delivered_and_a_changed_one_again(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Also contacts that have not changed; with the same mapping they are left alone."""
    await create(client, first_name="Ada", company="Acme")
    assert (await synced(client)).synced == 1
    assert (await synced(client)).skipped == 1
    rules = [
        MappingRule(target="company", field="first_name", transforms=[UPPER]),
        MappingRule(target="last_name", field="properties.none", default_value="Unknown"),
    ]
    await configure(client, field_mapping=FieldMapping(rules=rules))
    assert (await synced(client)).synced == 1
    [one] = held(sandbox)
    assert (one["firstname"], one["company"], one["lastname"]) == ("Ada", "ADA", "Unknown")
    assert (await synced(client)).skipped == 1
    await configure(client, field_mapping=FieldMapping())
    assert (await synced(client)).synced == 1
    assert held(sandbox)[0]["company"] == "Acme"


async def test_a_contact_that_cannot_be_mapped_fails_alone(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And says which target could not be made of which value."""
    await create(client, "good@example.com", company="17/03/1990")
    bad = await create(client, "bad@example.com", company="yesterday")
    date = crm_config_pb2.DateTransform(input_format="%d/%m/%Y", output_format="%Y-%m-%d")
    rule = MappingRule(target="company", field="company", transforms=[Transform(date=date)])
    await configure(client, field_mapping=FieldMapping(rules=[rule]))
    progress = await synced(client)
    assert (progress.synced, progress.errors) == (1, 1)
    assert [(one["email"], one["company"]) for one in held(sandbox)] == [
        ("good@example.com", "1990-03-17")
    ]
    request = sync_service_pb2.GetContactSyncStatusRequest(contact_id=bad)
    told = (await client.sync.GetContactSyncStatus(request)).contact_syncs["hubspot"]
    assert told.sync_status == standing.SYNC_STATUS_ERROR
    assert told.error.code == "MAPPING_FAILED"
    assert told.error.message.startswith("company cannot be mapped: 'yesterday' is no date")


async def test_a_paused_crm_gets_nothing_until_it_is_resumed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Queueing goes on; the other CRM is delivered to meanwhile."""
    await import_many(client, 30)
    await client.admin.PauseCrm(pb.PauseCrmRequest(crm="hubspot", reason="moving house"))
    waiting = await queue_all(client)
    other = await finished(client, (await queue_all(client, "brevo")).id)
    assert other.progress.synced == 30
    assert held(sandbox) == []
    await client.admin.ResumeCrm(pb.ResumeCrmRequest(crm="hubspot"))
    async with asyncio.timeout(5):
        assert (await finished(client, waiting.id)).progress.synced == 30
    assert len(held(sandbox)) == 30


async def test_a_crm_that_is_switched_off_takes_no_work(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """What is queued waits; switched on, it is delivered at once."""
    await import_many(client, 10)
    await client.admin.PauseCrm(pb.PauseCrmRequest(crm="hubspot"))
    waiting = await queue_all(client)
    await configure(client, enabled=False)
    await client.admin.ResumeCrm(pb.ResumeCrmRequest(crm="hubspot"))
    failed = await failure(queue_all(client))
    assert failed.reason == "CRM_DISABLED"
    assert held(sandbox) == []
    await configure(client, enabled=True)
    async with asyncio.timeout(5):
        assert (await finished(client, waiting.id)).progress.synced == 10


async def test_batches_are_as_small_as_configured(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """One call for every so many contacts."""
    await import_many(client, 12)
    await configure(client, batch_size=3, concurrency=1)
    assert (await synced(client)).synced == 12
    calls = sandbox.hubspot.calls.as_json()
    assert (calls["records_created"], calls["writes"]) == (12, 4)


async def test_a_schedule_runs_by_itself_and_on_demand(
    client: CrmsyncClient, database: Database
) -> None:
    """Each run is a session that can be followed."""
    await import_many(client, 5)
    schedule = Schedule(
        cron="0 0 1 1 *", time_zone="Europe/Athens", queue_all=QueueAllAction(crm="hubspot")
    )
    request = pb.CreateScheduleRequest(schedule=schedule, request_id=new_uuid())
    created = (await client.admin.CreateSchedule(request)).schedule
    run = await client.admin.RunSchedule(pb.RunScheduleRequest(schedule_id=created.id))
    ended = await finished(client, run.session.id)
    assert (ended.kind, ended.progress.synced) == (session_pb2.SESSION_KIND_RUN_SCHEDULE, 5)
    async with database.everyone() as connection:
        await connection.execute(sa.text("UPDATE schedules SET next_run_time = now()"))

    async def ran() -> Schedule:
        [schedule] = (await client.admin.ListSchedules(pb.ListSchedulesRequest())).schedules
        assert schedule.last_session_id != run.session.id
        return schedule

    after = await eventually(ran, within=10)
    assert (await finished(client, after.last_session_id)).progress.skipped == 5
    assert after.next_run_time.ToDatetime() > after.last_run_time.ToDatetime()
