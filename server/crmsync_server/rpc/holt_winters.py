"""Damped Holt-Winters: additive exponential smoothing, with a trend that fades and a season.

As Gardner and McKenzie (1985) damp the trend, in the error-correction form of Hyndman et al.
(2008), ETS(A,Ad,A), which is where the variance of a forecast comes from. A value that is missing
corrects nothing: the state goes on as it was foreseen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import sqrt
from statistics import fmean

Value = float | None

_PARAMETERS = 4
_ROUNDS = 5
_GRID = ((0.1, 0.3, 0.7), (0.02, 0.2), (0.05, 0.3), (0.85, 0.97))
_LEAST, _MOST = 0.005, 0.99
_DAMPING = (0.8, 0.98)  # less is no trend, and more hardly fades


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How quickly what is known follows what is seen.

    level: from 0 to 1, of an error. trend: as a share of level. season: as a share of what level
    leaves. damping: what is left of the trend after a period.
    """

    level: float
    trend: float
    season: float
    damping: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A series as far as it was seen.

    season: what each period of a season adds, the next one first; empty without a season.
    deviation: the standard deviation of what came a period later than foreseen.
    """

    smoothing: Smoothing
    level: float
    trend: float
    season: Sequence[float]
    deviation: float

    def mean(self, periods: int) -> list[float]:
        """Return what is foreseen for each of the periods to come."""
        found, fading, trend = [], 1.0, 0.0
        for ahead in range(periods):
            fading *= self.smoothing.damping
            trend += fading * self.trend
            season = self.season[ahead % len(self.season)] if self.season else 0.0
            found.append(self.level + trend + season)
        return found

    def deviations(self, periods: int) -> list[float]:
        """Return the standard deviation of each of these; it grows with the distance."""
        level, trend, season = _gains(self.smoothing)
        found, variance, fading, faded = [], 1.0, 1.0, 0.0
        for ahead in range(1, periods + 1):
            found.append(self.deviation * sqrt(variance))
            fading *= self.smoothing.damping
            faded += fading
            again = bool(self.season) and ahead % len(self.season) == 0
            variance += (level + trend * faded + season * again) ** 2
        return found


def fit(values: Sequence[Value], season: int = 0) -> Fit:
    """Smooth a series as well as it can be foreseen, period by period.

    Args:
        values: at least two, and two seasons of them; the first one is not missing.
        season: how many periods a season has; 0 without one.
    """
    start = _start(values, season)

    def error(smoothing: Smoothing) -> float:
        return _run(values, smoothing, start)[1]

    best = _refined(error, min(_grid(season), key=error))
    state, total = _run(values, best, start)
    freedom = max(1, sum(one is not None for one in values) - _PARAMETERS)
    return replace(state, deviation=sqrt(total / freedom))


def _grid(season: int) -> Iterator[Smoothing]:
    level, trend, seasons, damping = _GRID
    for one in product(level, trend, seasons if season else seasons[:1], damping):
        yield Smoothing(*one)


def _refined(error: Callable[[Smoothing], float], best: Smoothing) -> Smoothing:
    """Walk downhill, one coordinate after the other, in steps that grow smaller."""
    least, factor = error(best), 2.0
    for _ in range(_ROUNDS):
        for name in ("level", "trend", "season", "damping"):
            for way in (factor, 1 / factor):
                tried = _moved(best, name, way)
                if (found := error(tried)) < least:
                    best, least = tried, found
        factor = sqrt(factor)
    return best


def _moved(smoothing: Smoothing, name: str, way: float) -> Smoothing:
    if name == "damping":
        fading = 1 - (1 - smoothing.damping) * way
        return replace(smoothing, damping=min(max(fading, _DAMPING[0]), _DAMPING[1]))
    moved = min(max(getattr(smoothing, name) * way, _LEAST), _MOST)
    return replace(smoothing, **{name: moved})


def _gains(smoothing: Smoothing) -> tuple[float, float, float]:
    """Return how much of an error the level, the trend and the season take."""
    level = smoothing.level
    return level, level * smoothing.trend, (1 - level) * smoothing.season


def _start(values: Sequence[Value], season: int) -> Fit:
    """Return what is known before the first period: of two seasons, or of the first few values."""
    none = Smoothing(0, 0, 0, 1)
    if not season:
        seen = [one for one in values if one is not None][:4]
        trend = (seen[-1] - seen[0]) / (len(seen) - 1) if len(seen) > 1 else 0.0
        return Fit(none, seen[0] - trend, trend, (), 0.0)
    first, second = (_mean(values[begin : begin + season]) for begin in (0, season))
    trend = (second - first) / season
    middle = (season - 1) / 2
    shape = [
        _mean(
            [
                _without(values[one + begin], first + trend * (one + begin - middle))
                for begin in (0, season)
            ]
        )
        for one in range(season)
    ]
    return Fit(none, first - trend * (middle + 1), trend, shape, 0.0)


def _mean(values: Sequence[Value]) -> float:
    seen = [one for one in values if one is not None]
    return fmean(seen) if seen else 0.0


def _without(value: Value, part: float) -> Value:
    return None if value is None else value - part


def _run(values: Sequence[Value], smoothing: Smoothing, start: Fit) -> tuple[Fit, float]:
    """Go through a series; return what is known then, and the sum of the squared errors."""
    level, trend, season = start.level, start.trend, list(start.season)
    of_level, of_trend, of_season = _gains(smoothing)
    damping, length, total = smoothing.damping, len(season), 0.0
    place = 0
    # By hand and in one loop: a fit goes through the series a hundred times.
    for value in values:
        trend *= damping
        level += trend
        if value is not None:
            error = value - level
            if length:
                error -= season[place]
                season[place] += of_season * error
            level += of_level * error
            trend += of_trend * error
            total += error * error
        if length:
            place = place + 1 if place + 1 < length else 0
    return Fit(smoothing, level, trend, season[place:] + season[:place], 0.0), total
