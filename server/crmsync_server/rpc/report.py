"""A period beside the one before: figures, and how they have changed."""

from collections.abc import Sequence

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.performance import Period
from crmsync_server.store.response_times import percentile

_MOST_CODES = 10

_UNITS = {
    "synced": pb.FIGURE_UNIT_COUNT,
    "errors": pb.FIGURE_UNIT_COUNT,
    "skipped": pb.FIGURE_UNIT_COUNT,
    "success_rate": pb.FIGURE_UNIT_SHARE,
    "calls": pb.FIGURE_UNIT_COUNT,
    "response_time_average": pb.FIGURE_UNIT_SECONDS,
    "response_time_p90": pb.FIGURE_UNIT_SECONDS,
    "session_records": pb.FIGURE_UNIT_COUNT,
    "notice_records": pb.FIGURE_UNIT_COUNT,
    "conflicts_opened": pb.FIGURE_UNIT_COUNT,
    "conflicts_closed": pb.FIGURE_UNIT_COUNT,
    "records_per_hour": pb.FIGURE_UNIT_PER_HOUR,
}


def report(period: Period, previous: Period, crm: str) -> pb.SummaryReport:
    """Return a report without recommendations and health."""
    now, before = _values(period), _values(previous)
    return pb.SummaryReport(
        crm=crm,
        start_time=timestamp(period.span.start),
        end_time=timestamp(period.span.end),
        previous_start_time=timestamp(previous.span.start),
        figures=[_figure(name, now[name], before[name]) for name in _UNITS],
        errors=_errors(period),
    )


def _values(period: Period) -> dict[str, float | None]:
    counts = period.total
    return {
        "synced": counts.synced,
        "errors": counts.errors,
        "skipped": counts.skipped,
        "success_rate": counts.success_rate,
        "calls": counts.calls,
        "response_time_average": counts.response_time,
        "response_time_p90": percentile(period.all_steps, 0.9),
        "session_records": counts.session_records,
        "notice_records": counts.notice_records,
        "conflicts_opened": counts.conflicts_opened,
        "conflicts_closed": counts.conflicts_resolved + counts.conflicts_settled,
        "records_per_hour": counts.synced / period.hours,
    }


def _figure(name: str, value: float | None, before: float | None) -> pb.ReportFigure:
    told = pb.ReportFigure(name=name, unit=_UNITS[name], value=value, previous_value=before)
    if value is not None and before is not None:
        told.absolute_change = value - before
        if before:
            told.relative_change = (value - before) / before
    return told


def _errors(period: Period) -> Sequence[pb.ErrorShare]:
    return period.shares(most=_MOST_CODES)
