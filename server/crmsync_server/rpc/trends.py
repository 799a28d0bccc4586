"""How figures moved, period by period, and what is to be expected of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.deliveries import Counts
from crmsync_server.rpc.holt_winters import Value
from crmsync_server.rpc.prediction import Foreseen, Prediction, Score, needed, predict
from crmsync_server.rpc.spans import Grain

COUNT, SHARE = pb.FIGURE_UNIT_COUNT, pb.FIGURE_UNIT_SHARE
SECONDS = pb.FIGURE_UNIT_SECONDS
USUAL = (
    pb.TREND_METRIC_SYNCED,
    pb.TREND_METRIC_ERRORS,
    pb.TREND_METRIC_PULLED,
    pb.TREND_METRIC_SUCCESS_RATE,
)
"""What is told where nothing is asked for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a series is told: how long its periods are, and what is usual for such.

    season: how many periods it has. ahead: how many are foreseen. usual, most: how long a series
    is where nothing is asked for, and at most.
    """

    grain: Grain
    season: int
    ahead: int
    usual: timedelta
    most: timedelta


PACES: Mapping[pb.TrendPeriod.ValueType, Pace] = {
    pb.TREND_PERIOD_HOUR: Pace(Grain.HOUR, 24, 24, timedelta(days=28), timedelta(days=60)),
    pb.TREND_PERIOD_DAY: Pace(Grain.DAY, 7, 14, timedelta(days=180), timedelta(days=400)),
    pb.TREND_PERIOD_WEEK: Pace(Grain.WEEK, 0, 8, timedelta(days=400), timedelta(days=400)),
}

_METRICS: Mapping[
    pb.TrendMetric.ValueType, tuple[Callable[[Counts], Value], pb.FigureUnit.ValueType]
] = {
    pb.TREND_METRIC_SYNCED: (lambda one: one.synced, COUNT),
    pb.TREND_METRIC_ERRORS: (lambda one: one.errors, COUNT),
    pb.TREND_METRIC_PULLED: (lambda one: one.pulled, COUNT),
    pb.TREND_METRIC_SUCCESS_RATE: (lambda one: one.success_rate, SHARE),
    pb.TREND_METRIC_SKIPPED: (lambda one: one.skipped, COUNT),
    pb.TREND_METRIC_RESPONSE_TIME: (lambda one: one.response_time, SECONDS),
    pb.TREND_METRIC_CONFLICTS_OPENED: (lambda one: one.conflicts_opened, COUNT),
}


@dataclass(frozen=True, slots=True)
class History:
    """What is kept of each period of a time, by when it began; one without anything is missing.

    start, end: of the time; a period that ends later is under way.
    """

    kept: Mapping[datetime, Counts]
    start: datetime
    end: datetime
    pace: Pace

    @property
    def times(self) -> Sequence[datetime]:
        """Return when each period begins."""
        count = -(-(self.end - self.start) // self.pace.grain.length)
        return [self.start + self.pace.grain.length * at for at in range(count)]

    @property
    def is_partial(self) -> bool:
        """Whether the last period is under way."""
        return self.pace.grain.begin(self.end) != self.end


def series(history: History, metric: pb.TrendMetric.ValueType, ahead: int) -> pb.TrendSeries:
    """Return one figure over time, and so many periods of what is expected of it."""
    value_of, unit = _METRICS[metric]
    times = history.times
    values = [value_of(history.kept.get(time, Counts())) for time in times]
    partial = history.is_partial
    whole = _since_the_first(history, times, values)[: -1 if partial else None]
    bounds = (0.0, 1.0 if unit == SHARE else inf)
    found = predict(whole, history.pace.season, ahead, bounds)
    begins = times[-1] if partial else times[-1] + history.pace.grain.length
    points = [
        pb.TrendPoint(time=timestamp(time), value=value, partial=partial and time == times[-1])
        for time, value in zip(times, values, strict=True)
    ]
    forecast = _forecast(history.pace, begins, found) if found else _too_little(history, whole)
    return pb.TrendSeries(metric=metric, unit=unit, points=points, forecast=forecast)


def _since_the_first(
    history: History, times: Sequence[datetime], values: Sequence[Value]
) -> Sequence[Value]:
    """Return a series without the periods before anything was kept: they are no zeros."""
    first = next((at for at, time in enumerate(times) if time in history.kept), len(times))
    return values[first:]


def _too_little(history: History, values: Sequence[Value]) -> pb.TrendForecast:
    known, least = sum(one is not None for one in values), needed(0)
    grain = history.pace.grain
    told = (
        f"too little data: {known} whole {grain}s with a value are known, and {least} are needed;"
        f" {least - known} more will do"
    )
    if season := history.pace.season:
        told += f" ({needed(season)} to see a season of {season})"
    return pb.TrendForecast(
        too_little_data=True, message=told, periods_known=known, periods_needed=least
    )


def _forecast(pace: Pace, begins: datetime, found: Prediction) -> pb.TrendForecast:
    season = f"a season of {found.season} {pace.grain}s" if found.season else "no season"
    told = f"damped Holt-Winters with {season}, fitted to {found.trained} {pace.grain}s; "
    told += _scored(found)
    if pace.season and not found.season:
        told += f"; {needed(pace.season)} are needed to see a season of {pace.season}"
    length = pace.grain.length
    return pb.TrendForecast(
        message=told,
        periods_known=found.trained,
        periods_needed=needed(0),
        season_periods=found.season,
        points=[_point(begins + length * at, one) for at, one in enumerate(found.periods)],
        score=_score(found.score) if found.score else None,
    )


def _scored(found: Prediction) -> str:
    score = found.score
    if score is None:
        return "it could not be scored: none of the periods held back for that has a value"
    naive = "the last season" if found.season else "the last value"
    return (
        f"over the {score.periods} held back it errs by {score.mae:.4g} on average,"
        f" repeating {naive} by {score.naive_mae:.4g}"
    )


def _point(time: datetime, one: Foreseen) -> pb.TrendForecastPoint:
    return pb.TrendForecastPoint(
        time=timestamp(time),
        value=one.value,
        within_80=_interval(one.within_80),
        within_95=_interval(one.within_95),
    )


def _interval(bounds: tuple[float, float]) -> pb.Interval:
    return pb.Interval(low=bounds[0], high=bounds[1])


def _score(score: Score) -> pb.ForecastScore:
    return pb.ForecastScore(
        periods=score.periods,
        mae=score.mae,
        naive_mae=score.naive_mae,
        mase=score.mase,
        naive_mase=score.naive_mase,
        beats_naive=score.mae < score.naive_mae,
    )
