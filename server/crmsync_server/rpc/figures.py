"""Health, performance, trends and reports, from statistics that are kept up as work is done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crmsync.v1 import analytics_pb2
from crmsync.v1 import analytics_service_pb2 as pb
from crmsync_server.rpc import performance, trends
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.deliveries import Counts
from crmsync_server.rpc.health import Observer, of_all
from crmsync_server.rpc.performance import Period
from crmsync_server.rpc.recommendations import Seen, recommendations
from crmsync_server.rpc.report import report
from crmsync_server.rpc.spans import Asked, before, span_of
from crmsync_server.store import statistics, stats
from crmsync_server.store.statistics import Span

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_MOST = timedelta(days=400)
_MOST_COMPARED = timedelta(days=200)


_OfTime = pb.GetPerformanceRequest | pb.GetTrendsRequest | pb.GetSummaryReportRequest


@dataclass(frozen=True, slots=True)
class Figures:
    """Answers the rpcs of AnalyticsService that read statistics.

    retention: for how long hours are kept.
    """

    observer: Observer
    crms: Crms
    retention: timedelta

    async def health(self, request: pb.GetSyncHealthRequest) -> pb.GetSyncHealthResponse:
        """Tell how synchronization does now; see the contract."""
        crms = await self._in_use(request.crm)
        known = await self.observer.known(current_caller().org_id, crms)
        return pb.GetSyncHealthResponse(health=of_all(known, self.observer.clock()))

    async def performance(self, request: pb.GetPerformanceRequest) -> pb.GetPerformanceResponse:
        """Tell how a period went; see the contract."""
        span = self._span(request, _asked(request, _DAY, _MOST))
        async with self.observer.database.org(span.org_id) as connection:
            period = await Period.read(connection, span)
        return pb.GetPerformanceResponse(
            total=performance.in_total(period, request.crm),
            crms=performance.by_crm(period),
            kept_since=timestamp(self._kept_since),
        )

    async def trends(self, request: pb.GetTrendsRequest) -> pb.GetTrendsResponse:
        """Tell how figures moved and where they go; see the contract."""
        kind = request.period or analytics_pb2.TREND_PERIOD_DAY
        pace = trends.PACES[kind]
        asked = _asked(request, pace.usual, pace.most)
        span = span_of(asked, *self._place(request.crm), self.observer.clock(), pace.grain)
        async with self.observer.database.org(span.org_id) as connection:
            rows = await statistics.series(connection, span, pace.grain)
        kept = {row.time: Counts.of(row) for row in rows}
        history = trends.History(kept, span.start, span.end, pace)
        ahead, metrics = request.forecast_periods or pace.ahead, request.metrics or trends.USUAL
        # A fit goes through a series a hundred times, some 30 ms: nobody else is to wait for it.
        series = await asyncio.to_thread(
            lambda: [trends.series(history, metric, ahead) for metric in metrics]
        )
        told = analytics_pb2.Trends(
            crm=request.crm,
            period=kind,
            start_time=timestamp(span.start),
            end_time=timestamp(span.end),
            series=series,
        )
        return pb.GetTrendsResponse(trends=told, kept_since=timestamp(self._kept_since))

    async def report(self, request: pb.GetSummaryReportRequest) -> pb.GetSummaryReportResponse:
        """Compare a period with the one before; see the contract."""
        span = self._span(request, _asked(request, _WEEK, _MOST_COMPARED))
        in_use = await self._in_use(request.crm)
        known = await self.observer.known(span.org_id, in_use)
        async with self.observer.database.org(span.org_id) as connection:
            period = await Period.read(connection, span)
            previous = await Period.read(connection, before(span))
            counts = {crm: await stats.get(connection, span.org_id, crm) for crm in in_use}
        failed = {crm: int(row.errors) for crm, row in counts.items()}
        told = report(period, previous, request.crm)
        told.recommendations.extend(recommendations(Seen(period, previous, known, failed)))
        told.health = of_all(known, self.observer.clock()).state
        return pb.GetSummaryReportResponse(report=told, kept_since=timestamp(self._kept_since))

    @property
    def _kept_since(self) -> datetime:
        return self.observer.clock() - self.retention

    async def _in_use(self, crm: str) -> Sequence[str]:
        """Return the CRM that was asked for, or all that are used; raises UnknownCrmError."""
        if crm:
            self.crms.find(crm)
            return [crm]
        return [one for one in self.crms.known if (await self.crms.traits(one)).enabled]

    def _place(self, crm: str) -> tuple[str, Sequence[str]]:
        """Return the organization and its CRMs; raises UnknownCrmError."""
        if crm:
            self.crms.find(crm)
        return current_caller().org_id, [crm] if crm else self.crms.known

    def _span(self, request: _OfTime, asked: Asked) -> Span:
        return span_of(asked, *self._place(request.crm), self.observer.clock())


def _asked(request: _OfTime, usual: timedelta, most: timedelta) -> Asked:
    return Asked.of(
        request.start_time if request.HasField("start_time") else None,
        request.end_time if request.HasField("end_time") else None,
        usual,
        most,
    )
