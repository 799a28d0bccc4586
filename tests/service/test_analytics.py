"""What is told of synchronization is what happened at simulated CRMs, faults included."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import admin_service_pb2 as admin
from crmsync.v1 import analytics_pb2, connection_service_pb2
from crmsync.v1 import analytics_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.accounts import good
from tests.service.calls import create, failure, finished, import_many, queue_all
from tests.service.starting import done, full

CRM = "hubspot"
HEALTHY, DEGRADED = analytics_pb2.HEALTH_STATE_HEALTHY, analytics_pb2.HEALTH_STATE_DEGRADED
UNHEALTHY = analytics_pb2.HEALTH_STATE_UNHEALTHY
_ROOT = Path(__file__).parents[2]

Components = Mapping[str, analytics_pb2.ComponentHealth]


async def performance(client: CrmsyncClient, crm: str = "") -> analytics_pb2.Performance:
    """Ask how the last day went."""
    return (await client.analytics.GetPerformance(pb.GetPerformanceRequest(crm=crm))).total


async def health(client: CrmsyncClient, crm: str = CRM) -> analytics_pb2.CrmHealth:
    """Ask how a CRM does."""
    answer = await client.analytics.GetSyncHealth(pb.GetSyncHealthRequest(crm=crm))
    [found] = answer.health.crms
    return found


def components(found: analytics_pb2.CrmHealth) -> Components:
    """Return a CRM's components by their names."""
    prefix = "HEALTH_COMPONENT_"
    return {
        analytics_pb2.HealthComponent.Name(one.component).removeprefix(prefix): one
        for one in found.components
    }


async def report(client: CrmsyncClient) -> analytics_pb2.SummaryReport:
    """Ask for the report of the last week."""
    return (await client.analytics.GetSummaryReport(pb.GetSummaryReportRequest())).report


async def sound(database: Database) -> bool:
    """Tell whether every promise holds."""
    async with database.everyone() as connection:
        return not await violations(connection)


async def scalar(database: Database, text: str) -> Any:  # noqa: ANN401 - whatever is asked for
    """Ask the database of the test's own."""
    async with database.everyone() as connection:
        return await connection.scalar(sa.text(text))


async def test_deliveries_are_told_as_they_went(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """Every call in the histogram, every error by the CRM's own code, in the same hour."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=0.3, latency_seconds=0.02)
    await import_many(client, 250)
    ended = (await finished(client, (await queue_all(client)).id)).progress
    assert ended.errors > 20
    told = await performance(client, CRM)
    assert told.deliveries.synced == ended.synced
    assert told.deliveries.errors == ended.errors
    assert told.deliveries.success_rate == ended.synced / 250
    assert told.response_times.records == 250
    assert told.response_times.calls >= 3
    times = told.response_times
    assert times.p50.ToTimedelta().total_seconds() >= 0.018
    assert times.p50.ToTimedelta() <= times.p90.ToTimedelta() <= times.p99.ToTimedelta()
    assert sum(one.errors for one in told.errors) == ended.errors
    codes = await scalar(database, "SELECT array_agg(DISTINCT error_code) FROM sync_attempts")
    assert {one.code for one in told.errors} == {code for code in codes if code}
    assert told.throughput.busiest_records <= ended.synced
    assert await sound(database)


async def test_a_transient_fault_shows_up_in_the_breakdown_and_not_as_an_error(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """It was tried again, and came through."""
    sandbox.hubspot.faults.script(ScriptedFault(kind="status", status=423, path="*/batch/upsert"))
    await create(client)
    assert (await finished(client, (await queue_all(client)).id)).progress.synced == 1
    told = await performance(client)
    assert told.deliveries.synced == 1
    assert told.deliveries.errors == 0
    assert told.deliveries.again == 1
    [error] = told.errors
    assert (error.attempts, error.errors, error.share) == (1, 0, 1.0)
    assert await sound(database)


async def test_a_healthy_crm_is_told_so_with_its_numbers(client: CrmsyncClient) -> None:
    """The overall state and that of every component, each with a reason."""
    await import_many(client, 20)
    await finished(client, (await queue_all(client)).id)
    found = await health(client)
    assert found.state == HEALTHY
    told = components(found)
    assert {one.state for one in told.values()} == {HEALTHY}
    assert all(one.reason and one.code == "OK" for one in told.values())
    rate = told["SYNC_PERFORMANCE"].figure
    assert (rate.name, rate.value, rate.degraded_at, rate.unhealthy_at) == (
        "success_rate",
        1.0,
        0.95,
        0.8,
    )
    assert found.last_hour.success_rate == 1.0
    assert found.last_hour.average_response_time.ToTimedelta().total_seconds() > 0
    overall = (await client.analytics.GetSyncHealth(pb.GetSyncHealthRequest())).health
    assert {one.crm for one in overall.crms} == {"brevo", CRM}
    assert overall.last_day.synced == 20
    # Of brevo nothing is known yet.
    assert overall.state == HEALTHY


async def test_a_paused_lane_is_unhealthy_with_its_reason_and_what_to_do(
    client: CrmsyncClient,
) -> None:
    """Who paused it and why; the report names the call that resumes it."""
    await create(client)
    await client.admin.PauseCrm(admin.PauseCrmRequest(crm=CRM, reason="we move house"))
    await queue_all(client)
    found = await health(client)
    told = components(found)["SYNC_PERFORMANCE"]
    assert (found.state, told.state, told.code) == (UNHEALTHY, UNHEALTHY, "PAUSED")
    assert "we move house" in told.reason
    assert told.reason == found.reason
    assert told.figure.name == "paused_seconds"
    answer = await client.analytics.GetSyncHealth(pb.GetSyncHealthRequest())
    assert answer.health.state == UNHEALTHY
    assert answer.health.reason.startswith(f"{CRM}: ")
    [advice] = (await report(client)).recommendations
    assert (advice.code, advice.rpc, advice.crm) == ("RESUME_CRM", "AdminService.ResumeCrm", CRM)
    assert "we move house" in advice.message
    await client.admin.ResumeCrm(admin.ResumeCrmRequest(crm=CRM))
    assert components(await health(client))["SYNC_PERFORMANCE"].code != "PAUSED"


async def test_refused_credentials_make_the_token_unhealthy(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And the report says to replace them."""
    sandbox.hubspot.faults.settings = FaultSettings(token_expired=True)
    await create(client)
    await queue_all(client)

    async def is_told() -> None:
        told = components(await health(client))["TOKEN_STATUS"]
        assert (told.state, told.code) == (UNHEALTHY, "CREDENTIALS_REFUSED")

    await eventually(is_told)
    codes = [one.code for one in (await report(client)).recommendations]
    assert "REPLACE_CREDENTIALS" in codes


async def test_failures_degrade_the_performance_and_are_to_be_retried(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The number behind it is the share that succeeded, and the report counts those that failed."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=0.1)
    await import_many(client, 200)
    ended = (await finished(client, (await queue_all(client)).id)).progress
    told = components(await health(client))["SYNC_PERFORMANCE"]
    assert told.figure.value == ended.synced / 200
    assert told.state == (DEGRADED if told.figure.value > 0.8 else UNHEALTHY)
    assert f"{told.figure.value:.1%}" in told.reason
    found = {one.code: one for one in (await report(client)).recommendations}
    retry = found["RETRY_FAILURES"]
    assert retry.figure.value == ended.errors
    assert str(ended.errors) in retry.message
    assert (_ROOT / retry.guide).is_file()
    assert found["FIX_TOP_ERROR"].figure.value == 1.0


async def test_a_queue_that_stands_still_is_told_by_its_age(
    client: CrmsyncClient, database: Database
) -> None:
    """From five minutes on DEGRADED, from an hour on UNHEALTHY."""
    await create(client)
    await client.admin.PauseCrm(admin.PauseCrmRequest(crm=CRM, reason="test"))
    await queue_all(client)
    for minutes, state in ((4, HEALTHY), (6, DEGRADED), (61, UNHEALTHY)):
        async with database.everyone() as connection:
            await connection.execute(
                sa.text(
                    "UPDATE contact_syncs SET due_time = now() - make_interval(mins => :minutes)"
                ),
                {"minutes": minutes},
            )
        told = components(await health(client))["QUEUE_AGE"]
        assert (told.state, told.figure.name) == (state, "queue_age")
        assert minutes * 60 <= told.figure.value < minutes * 60 + 30


async def test_what_a_session_reads_is_counted_in_its_hour(
    client: CrmsyncClient, database: Database
) -> None:
    """And told as a trend, of which there is too little yet."""
    await import_many(client, 12)
    await finished(client, (await queue_all(client)).id)
    ended = await done(client, full())
    told = (await performance(client, CRM)).readings
    assert told.session_records == 12
    assert ended.pull.unchanged == 12
    trends = pb.GetTrendsRequest(crm=CRM, metrics=[analytics_pb2.TREND_METRIC_PULLED])
    [pulled] = (await client.analytics.GetTrends(trends)).trends.series
    assert pulled.points[-1].value == 12
    assert pulled.points[-1].partial
    assert pulled.forecast.too_little_data
    assert await sound(database)


async def test_a_checked_connection_says_that_the_crm_answers(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Before anything was delivered."""
    await good(sandbox, "mautic").connect(client)
    await client.connections.ValidateConnection(
        connection_service_pb2.ValidateConnectionRequest(crm="mautic")
    )
    told = components(await health(client, "mautic"))
    assert told["API_CONNECTIVITY"].state == HEALTHY
    assert told["TOKEN_STATUS"].state == HEALTHY
    assert told["TOKEN_STATUS"].figure.name == "token_seconds_left"
    assert told["TOKEN_STATUS"].figure.value > 0


async def test_a_bad_time_changes_nothing_and_is_explained(client: CrmsyncClient) -> None:
    """More than 400 days are refused, naming the field."""
    request = pb.GetPerformanceRequest()
    request.start_time.FromSeconds(0)
    told = await failure(client.analytics.GetPerformance(request))
    assert told.reason == "INVALID_REQUEST"
    assert "400 days" in str(told)
