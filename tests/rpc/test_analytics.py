"""What AnalyticsService tells of statistics, over hours that deliveries would have written."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from crmsync.v1 import analytics_pb2
from crmsync.v1 import analytics_service_pb2 as pb
from crmsync_server.store.db import Database
from tests.rpc.admins import OTHER, READER
from tests.rpc.conflicts import CRM, Desk, open_desk, opened
from tests.rpc.contacts import ORG
from tests.rpc.serving import Failure, failure_of

HOUR, DAY = analytics_pb2.TREND_PERIOD_HOUR, analytics_pb2.TREND_PERIOD_DAY
WEEK = analytics_pb2.TREND_PERIOD_WEEK
_RATE = analytics_pb2.TREND_METRIC_SUCCESS_RATE
_SERIES = Path(__file__).parent / "series"


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """Serve conflicts and statistics."""
    async with open_desk(database) as desk:
        yield desk


def this_hour() -> datetime:
    """Return when the hour began."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def at(moment: datetime) -> Timestamp:
    """Return a moment as messages have it."""
    told = Timestamp()
    told.FromDatetime(moment)
    return told


_KEEP = sa.text(
    """
    INSERT INTO sync_hours (
        org_id, crm, hour, slot, synced, rejected, errors, calls, call_records, call_seconds,
        call_steps
    )
    SELECT
        :org, :crm,
        date_trunc(:grain, now(), 'UTC')
        - CAST('1 ' || :grain AS interval) * (CAST(:count AS integer) - i + 1),
        0, v, :errors, :errors, 2, v, 0.5, ARRAY[0, 0, 2]
    FROM unnest(CAST(:values AS bigint [])) WITH ORDINALITY AS u (v, i)
    """
)
_FAIL = (
    sa.text(
        """
        INSERT INTO error_hours (org_id, crm, hour, code, slot, attempts, errors)
        VALUES (:org, :crm, date_trunc('hour', now(), 'UTC'), :code, 0, :attempts, :errors)
        """
    ),
    sa.text(
        """
        INSERT INTO sync_hours AS h (org_id, crm, hour, slot, rejected, errors)
        VALUES (:org, :crm, date_trunc('hour', now(), 'UTC'), 7, :attempts, :errors)
        ON CONFLICT (org_id, crm, hour, slot) DO UPDATE SET
            rejected = h.rejected + excluded.rejected, errors = h.errors + excluded.errors
        """
    ),
)


async def keep(
    desk: Desk, values: list[float], *, grain: str = "hour", crm: str = CRM, errors: int = 0
) -> None:
    """Keep counts of what was delivered, the last one for the period before this one."""
    told = [int(one) for one in values]
    given = {"org": ORG, "crm": crm, "grain": grain, "errors": errors}
    async with desk.database.org(ORG) as connection:
        await connection.execute(_KEEP, {**given, "count": len(told), "values": told})


async def fail(desk: Desk, code: str, attempts: int, errors: int, crm: str = CRM) -> None:
    """Keep attempts of this hour that did not succeed."""
    given = {"org": ORG, "crm": crm, "attempts": attempts, "errors": errors, "code": code}
    async with desk.database.org(ORG) as connection:
        for text in _FAIL:
            await connection.execute(text, {key: given[key] for key in text.compile().params})


def shipped(name: str) -> list[float]:
    """Read a series that comes along."""
    text = (_SERIES / f"{name}.txt").read_text(encoding="utf-8")
    return [float(line) for line in text.splitlines()]


def metric(trends: analytics_pb2.Trends, name: str) -> analytics_pb2.TrendSeries:
    """Return one series."""
    wanted = analytics_pb2.TrendMetric.Value(f"TREND_METRIC_{name}")
    [found] = [one for one in trends.series if one.metric == wanted]
    return found


@pytest.mark.parametrize(
    ("name", "period", "grain", "season", "ahead"),
    [
        ("hourly_with_daily_season", HOUR, "hour", 24, 24),
        ("daily_with_weekly_season", DAY, "day", 7, 14),
    ],
)
async def test_a_forecast_is_told_with_intervals_and_a_score_that_beats_the_naive_one(
    desk: Desk,
    name: str,
    period: analytics_pb2.TrendPeriod.ValueType,
    grain: str,
    season: int,
    ahead: int,
) -> None:
    """From what was kept by the hour; it goes on where the series ends."""
    values = shipped(name)
    await keep(desk, values, grain=grain)
    answer = await desk.stub.GetTrends(pb.GetTrendsRequest(period=period))
    synced = metric(answer.trends, "SYNCED")
    whole = [one.value for one in synced.points if not one.partial]
    assert whole[-len(values) :] == values[-len(whole) :]
    forecast = synced.forecast
    assert not forecast.too_little_data
    assert forecast.season_periods == season
    assert len(forecast.points) == ahead
    for one in forecast.points:
        assert one.within_95.low <= one.within_80.low <= one.value
        assert one.value <= one.within_80.high <= one.within_95.high
    first, last = forecast.points[0].time.ToDatetime(UTC), synced.points[-1]
    assert first == last.time.ToDatetime(UTC)
    assert last.partial
    assert forecast.score.beats_naive
    assert forecast.score.mase < forecast.score.naive_mase
    assert str(forecast.score.periods) in forecast.message


async def test_a_forecast_that_could_not_be_scored_says_so(desk: Desk) -> None:
    """Where nothing came of the periods held back; a score of no error would be a lie."""
    await keep(desk, [5.0] * 40 + [0.0] * 80)
    answer = await desk.stub.GetTrends(pb.GetTrendsRequest(period=HOUR, metrics=[_RATE]))
    forecast = metric(answer.trends, "SUCCESS_RATE").forecast
    assert len(forecast.points) == 24
    assert not forecast.HasField("score")
    assert "could not be scored" in forecast.message


async def test_too_little_data_is_said_with_how_much_is_missing(desk: Desk) -> None:
    """The points are there, the forecast is not; of another organization nothing is known."""
    await keep(desk, [5, 6, 7, 8])
    answer = await desk.stub.GetTrends(pb.GetTrendsRequest(period=HOUR))
    forecast = metric(answer.trends, "SYNCED").forecast
    assert forecast.too_little_data
    assert (forecast.periods_known, forecast.periods_needed) == (4, 12)
    assert "8 more will do" in forecast.message
    assert not forecast.points
    assert not forecast.HasField("score")
    other = await desk.stub.GetTrends(pb.GetTrendsRequest(period=WEEK), metadata=OTHER)
    assert all(one.forecast.too_little_data for one in other.trends.series)
    assert {one.value for one in metric(other.trends, "SYNCED").points} == {0.0}


async def test_a_rate_of_nothing_is_missing_and_a_count_of_nothing_is_zero(desk: Desk) -> None:
    """An hour in which nothing was delivered says nothing of success."""
    await keep(desk, [10, 0, 30], errors=0)
    request = pb.GetTrendsRequest(
        period=HOUR,
        start_time=at(this_hour() - timedelta(hours=4)),
        metrics=[analytics_pb2.TREND_METRIC_SUCCESS_RATE, analytics_pb2.TREND_METRIC_SYNCED],
    )
    trends = (await desk.stub.GetTrends(request)).trends
    rates = [one.value if one.HasField("value") else None for one in trends.series[0].points]
    assert rates[:4] == [None, 1.0, None, 1.0]
    assert [one.value for one in trends.series[1].points][:4] == [0.0, 10.0, 0.0, 30.0]


async def test_performance_is_told_by_crm_and_in_total(desk: Desk) -> None:
    """Of the hours asked for: throughput, response times and codes, the most frequent first."""
    await keep(desk, [100, 40, 60], errors=5)
    await keep(desk, [7], crm="brevo")
    await fail(desk, "HTTP_503", attempts=6, errors=0)
    await fail(desk, "INVALID_EMAIL", attempts=2, errors=2)
    await fail(desk, "HTTP_503", attempts=1, errors=1, crm="brevo")
    request = pb.GetPerformanceRequest(start_time=at(this_hour() - timedelta(hours=2)))
    answer = await desk.stub.GetPerformance(request, metadata=READER)
    brevo, hubspot = answer.crms
    assert (brevo.crm, hubspot.crm, answer.total.crm) == ("brevo", CRM, "")
    assert (hubspot.deliveries.synced, hubspot.deliveries.errors) == (100, 12)
    assert hubspot.deliveries.again == 6
    assert hubspot.deliveries.success_rate == pytest.approx(100 / 112)
    assert hubspot.throughput.busiest_records == 60
    assert hubspot.throughput.busiest_time.ToDatetime(UTC) == this_hour() - timedelta(hours=1)
    assert 100 / 3 <= hubspot.throughput.records_per_hour <= 50
    assert (hubspot.response_times.calls, hubspot.response_times.records) == (4, 100)
    assert hubspot.response_times.average.ToTimedelta() == timedelta(seconds=0.25)
    assert hubspot.response_times.p99.ToTimedelta().total_seconds() == pytest.approx(
        0.00154, rel=0.1
    )
    assert [(one.code, one.attempts, one.errors) for one in answer.total.errors] == [
        ("HTTP_503", 7, 1),
        ("INVALID_EMAIL", 2, 2),
    ]
    assert sum(one.share for one in answer.total.errors) == pytest.approx(1.0)
    assert answer.total.deliveries.synced == 107
    only = await desk.stub.GetPerformance(pb.GetPerformanceRequest(crm="brevo"))
    assert (only.total.crm, only.total.deliveries.synced) == ("brevo", 7)
    assert [one.crm for one in only.crms] == ["brevo"]


async def test_a_report_compares_with_the_period_before(desk: Desk) -> None:
    """Absolute and relative; a change from nothing has no share."""
    await keep(desk, [*[10] * 24, *[30] * 24], errors=0)
    start = this_hour() - timedelta(hours=24)
    request = pb.GetSummaryReportRequest(start_time=at(start), end_time=at(this_hour()))
    report = (await desk.stub.GetSummaryReport(request)).report
    assert report.previous_start_time.ToDatetime(UTC) == start - timedelta(hours=24)
    figures = {one.name: one for one in report.figures}
    synced = figures["synced"]
    assert (synced.value, synced.previous_value) == (720.0, 240.0)
    assert (synced.absolute_change, synced.relative_change) == (480.0, 2.0)
    assert figures["records_per_hour"].value == 30.0
    assert figures["errors"].absolute_change == 0.0
    assert not figures["errors"].HasField("relative_change")
    assert not report.recommendations


async def test_each_recommendation_names_its_figure_and_what_to_do(desk: Desk) -> None:
    """An open conflict, a success rate that fell, and one code behind most of it."""
    await keep(desk, [100] * 2, errors=0)
    await fail(desk, "INVALID_EMAIL", attempts=80, errors=80)
    await opened(desk.database)
    request = pb.GetSummaryReportRequest(start_time=at(this_hour()))
    report = (await desk.stub.GetSummaryReport(request)).report
    found = {one.code: one for one in report.recommendations}
    assert {"RESOLVE_CONFLICTS", "FIX_TOP_ERROR"} <= set(found)
    conflict, top = found["RESOLVE_CONFLICTS"], found["FIX_TOP_ERROR"]
    assert (conflict.figure.name, conflict.figure.value, conflict.crm) == ("open_conflicts", 1, CRM)
    assert (top.figure.name, top.figure.value) == ("top_error_share", 1.0)
    assert "INVALID_EMAIL" in top.message
    for one in report.recommendations:
        assert one.rpc.count(".") == 1
        assert (Path(__file__).parents[2] / one.guide).is_file()
        assert one.figure.HasField("degraded_at")


async def test_nothing_is_recommended_of_what_is_too_little_to_tell(desk: Desk) -> None:
    """Three failures of four are no trend."""
    await keep(desk, [4], errors=0)
    await fail(desk, "INVALID_EMAIL", attempts=3, errors=3)
    request = pb.GetSummaryReportRequest(start_time=at(this_hour()))
    assert not (await desk.stub.GetSummaryReport(request)).report.recommendations


async def test_a_crm_without_anything_is_unknown_where_it_was_not_used(desk: Desk) -> None:
    """And healthy where nothing waits: no queue, no conflicts, no notices."""
    health = (await desk.stub.GetSyncHealth(pb.GetSyncHealthRequest(crm=CRM))).health
    [crm] = health.crms
    states = {
        analytics_pb2.HealthComponent.Name(one.component).removeprefix("HEALTH_COMPONENT_"): (
            analytics_pb2.HealthState.Name(one.state).removeprefix("HEALTH_STATE_")
        )
        for one in crm.components
    }
    assert states == {
        "API_CONNECTIVITY": "UNKNOWN",
        "TOKEN_STATUS": "UNKNOWN",
        "SYNC_PERFORMANCE": "UNKNOWN",
        "QUEUE_AGE": "HEALTHY",
        "QUOTA": "HEALTHY",
        "CONFLICTS": "HEALTHY",
        "NOTICES": "HEALTHY",
    }
    assert all(one.reason for one in crm.components)
    assert not health.last_day.HasField("success_rate")


async def test_without_any_crm_in_use_nothing_is_known(desk: Desk) -> None:
    """And every component is listed all the same."""
    desk.off = {"hubspot", "brevo"}
    health = (await desk.stub.GetSyncHealth(pb.GetSyncHealthRequest())).health
    assert health.state == analytics_pb2.HEALTH_STATE_UNKNOWN
    assert len(health.components) == 7
    assert not health.crms


async def refused(desk: Desk, request: object) -> Failure:
    """Return why a request about a time is refused."""
    calls = {
        pb.GetPerformanceRequest: desk.stub.GetPerformance,
        pb.GetTrendsRequest: desk.stub.GetTrends,
        pb.GetSummaryReportRequest: desk.stub.GetSummaryReport,
        pb.GetSyncHealthRequest: desk.stub.GetSyncHealth,
    }
    return await failure_of(calls[type(request)](request))  # type: ignore[operator]  # one of the four


@pytest.mark.parametrize(
    ("request_type", "days"),
    [
        (pb.GetPerformanceRequest, 401),
        (pb.GetTrendsRequest, 401),
        (pb.GetSummaryReportRequest, 201),
    ],
)
async def test_a_time_that_is_empty_or_too_long_is_refused(
    desk: Desk, request_type: type[pb.GetPerformanceRequest], days: int
) -> None:
    """The field is named, and what would be right."""
    now = this_hour()
    for start, end, word in (
        (now - timedelta(days=days), None, "at most"),
        (now, now, "before"),
        (now, now - timedelta(days=1), "before"),
    ):
        request = request_type(start_time=at(start), end_time=None if end is None else at(end))
        failure = await refused(desk, request)
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
        assert word in failure.violations["start_time"]
    year_one = Timestamp(seconds=-62_135_596_800)
    for early in (
        request_type(end_time=year_one),
        request_type(start_time=year_one, end_time=Timestamp(seconds=year_one.seconds + 3600)),
    ):
        failure = await refused(desk, early)
        [told] = failure.violations.values()
        assert "1970" in told
    failure = await refused(desk, request_type(end_time=Timestamp(seconds=10**14)))
    assert "9999" in failure.violations["end_time"]


async def test_an_unknown_crm_or_metric_is_refused(desk: Desk) -> None:
    """By all four; those that are known are named."""
    for kind in (
        pb.GetPerformanceRequest,
        pb.GetTrendsRequest,
        pb.GetSummaryReportRequest,
        pb.GetSyncHealthRequest,
    ):
        failure = await refused(desk, kind(crm="nope"))
        assert failure.info.reason == "UNKNOWN_CRM"
        assert failure.info.metadata["known"] == "brevo,hubspot"
    metrics = [analytics_pb2.TREND_METRIC_SYNCED] * 2
    assert "metrics" in (await refused(desk, pb.GetTrendsRequest(metrics=metrics))).violations
    hours = pb.GetTrendsRequest(period=HOUR, start_time=at(this_hour() - timedelta(days=61)))
    assert "60 days" in (await refused(desk, hours)).violations["start_time"]
