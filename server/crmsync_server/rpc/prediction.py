"""What a series will bring, and how well that was foreseen until now."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean

from crmsync_server.rpc.holt_winters import Value, fit

_SEASONS = 3  # two to begin with, and one to be held back
_LEAST = 12  # periods, where there is no season
_HELD_BACK = 4  # a quarter at most, where that is less than what is foreseen
_FOLDS = 3
# How many standard deviations hold 80 and 95 of 100 values.
_Z80, _Z95 = 1.2816, 1.9600


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One period to come: the value, and between which it lies in 80 and in 95 of 100 cases."""

    value: float
    within_80: tuple[float, float]
    within_95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Score:
    """How the last periods were foreseen from those before them, beside a naive forecast.

    The naive one repeats the last season, or where there is none the last value. Where enough is
    known, it is tried from up to three origins, each as far ahead as the forecast goes.

    periods: how many were foreseen in all.
    mae, naive_mae: the mean absolute errors.
    mase, naive_mase: the same as shares of what the naive forecast errs by from one period, or
        season, to the next within what was not held back; None where that never errs.
    """

    periods: int
    mae: float
    naive_mae: float
    mase: float | None
    naive_mase: float | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a series will bring.

    season: of how many periods; 0 where too few are known to see one, or there is none.
    score: None where none of the periods held back has a value.
    """

    season: int
    trained: int
    periods: Sequence[Foreseen]
    score: Score | None


def needed(season: int) -> int:
    """Return how many periods are needed to foresee a season; 0 for a series without one."""
    return max(_LEAST, _SEASONS * season)


def predict(
    values: Sequence[Value], season: int, periods: int, bounds: tuple[float, float] = (-inf, inf)
) -> Prediction | None:
    """Foresee a series; None where it is too short for that.

    Args:
        values: the series, a missing value as None; those before the first known one do not count.
        season: how many periods a season has; 0 without one.
        periods: how many to foresee.
        bounds: what no value can be less or more than.
    """
    values = _known(values)
    if sum(one is not None for one in values) < needed(0):
        return None
    if len(values) < needed(season):
        season = 0
    score = _backtest(values, season, periods, bounds)
    found = fit(values, season)
    told = [
        Foreseen(_kept(mean, bounds), *(_around(mean, z * off, bounds) for z in (_Z80, _Z95)))
        for mean, off in zip(found.mean(periods), found.deviations(periods), strict=True)
    ]
    return Prediction(season, len(values), told, score)


def _known(values: Sequence[Value]) -> Sequence[Value]:
    first = next((place for place, one in enumerate(values) if one is not None), len(values))
    return values[first:]


def _backtest(
    values: Sequence[Value], season: int, periods: int, bounds: tuple[float, float]
) -> Score | None:
    """Hold the last periods back, and foresee them from those before, from several origins on."""
    length = min(periods, len(values) // _HELD_BACK, season or len(values))
    folds = max(1, min(_FOLDS, (len(values) - needed(season)) // length + 1))
    ours: list[float] = []
    naive: list[float] = []
    for fold in range(folds, 0, -1):
        before = values[: len(values) - fold * length]
        ours += [_kept(one, bounds) for one in fit(before, season).mean(length)]
        naive += _naive(before, season or 1, length)
    first = len(values) - folds * length
    usual = _filled(values[:first])
    scale = _error(usual[: -(season or 1)], usual[season or 1 :])
    mae, naive_mae = _error(ours, values[first:]), _error(naive, values[first:])
    if mae is None or naive_mae is None:
        return None
    shares = (mae / scale, naive_mae / scale) if scale else (None, None)
    return Score(folds * length, mae, naive_mae, *shares)


def _naive(values: Sequence[Value], season: int, periods: int) -> list[float]:
    """Return the last season, again and again."""
    filled = _filled(values)[-season:]
    return [filled[ahead % season] for ahead in range(periods)]


def _filled(values: Sequence[Value]) -> list[float]:
    """Return a series in which what is missing is as what was before it."""
    found: list[float] = []
    for one in values:
        found.append(found[-1] if one is None else one)
    return found


def _error(foreseen: Sequence[float], seen: Sequence[Value]) -> float | None:
    """Return the mean absolute error; None where there is nothing to compare with."""
    errors = [
        abs(one - value) for one, value in zip(foreseen, seen, strict=True) if value is not None
    ]
    return fmean(errors) if errors else None


def _kept(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _around(mean: float, width: float, bounds: tuple[float, float]) -> tuple[float, float]:
    return _kept(mean - width, bounds), _kept(mean + width, bounds)
