"""What a forecast promises: better than naive where there is something to see, plain otherwise."""

from itertools import pairwise
from math import inf, pi, sin
from pathlib import Path
from random import Random

import pytest

from crmsync_server.rpc.holt_winters import Value, fit
from crmsync_server.rpc.prediction import Prediction, Score, needed, predict

_SERIES = Path(__file__).parent / "series"
_POSITIVE = (0.0, inf)


def shipped(name: str) -> list[Value]:
    """Read a series that comes along."""
    text = (_SERIES / f"{name}.txt").read_text(encoding="utf-8")
    return [float(line) for line in text.splitlines()]


def waves(count: int, season: int, noise: float = 0.0, seed: int = 1) -> list[Value]:
    """Make a series with a season, a trend and noise."""
    draw = Random(seed)  # noqa: S311 - noise, and no secret
    return [
        100 + 0.2 * at + 30 * sin(2 * pi * at / season) + draw.gauss(0, noise)
        for at in range(count)
    ]


def scored(found: Prediction) -> Score:
    """Return the score of a forecast that has one."""
    assert found.score is not None
    return found.score


def foreseen(
    values: list[Value], season: int, periods: int, bounds: tuple[float, float] = _POSITIVE
) -> Prediction:
    """Foresee a series that is long enough."""
    found = predict(values, season, periods, bounds)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "season", "periods"),
    [
        ("hourly_with_daily_season", 24, 24),
        ("daily_with_weekly_season", 7, 14),
        ("weekly_with_trend", 0, 8),
    ],
)
def test_the_shipped_series_are_foreseen_better_than_naively(
    name: str, season: int, periods: int
) -> None:
    """Trend, season and noise, from three origins; by the absolute error and by the scaled one."""
    found = foreseen(shipped(name), season, periods)
    assert found.season == season
    assert len(found.periods) == periods
    score = scored(found)
    assert score.periods >= 3 * min(periods, season or periods)
    assert score.mae < score.naive_mae
    assert score.mase is not None
    assert score.naive_mase is not None
    assert score.mase < score.naive_mase


def test_what_follows_a_rule_without_noise_is_foreseen_nearly_exactly() -> None:
    """A season and a trend alone leave little to err about."""
    values = waves(24 * 14 + 24, 24)
    found = foreseen(values[:-24], 24, 24)
    for one, value in zip(found.periods, values[-24:], strict=True):
        assert value == pytest.approx(one.value, abs=2.0)


def test_the_intervals_hold_about_as_many_values_as_they_say() -> None:
    """Over many series: of 80 and 95 in 100, with some room for chance."""
    within_80 = within_95 = total = 0
    for seed in range(40):
        values = waves(7 * 20 + 7, 7, noise=10.0, seed=seed)
        found = foreseen(values[:-7], 7, 7, (-inf, inf))
        for one, value in zip(found.periods, values[-7:], strict=True):
            assert value is not None
            total += 1
            within_80 += one.within_80[0] <= value <= one.within_80[1]
            within_95 += one.within_95[0] <= value <= one.within_95[1]
    assert 0.70 < within_80 / total < 0.88
    assert 0.89 < within_95 / total < 0.99


def test_intervals_grow_with_the_distance_and_lie_in_each_other() -> None:
    """Nobody knows more of the day after tomorrow than of tomorrow."""
    found = foreseen(waves(24 * 10, 24, noise=5.0), 24, 48)
    widths = [one.within_95[1] - one.within_95[0] for one in found.periods]
    assert all(later >= sooner for sooner, later in pairwise(widths))
    for one in found.periods:
        assert one.within_95[0] < one.within_80[0] < one.value < one.within_80[1] < one.within_95[1]


def test_a_constant_series_goes_on_and_its_score_divides_by_nothing() -> None:
    """Neither forecast errs, so that there is no share of an error to tell."""
    found = foreseen([5.0] * 60, 7, 7)
    assert [one.value for one in found.periods] == pytest.approx([5.0] * 7)
    score = scored(found)
    assert score.mae == pytest.approx(0.0, abs=1e-9)
    assert score.naive_mae == 0.0
    assert (score.mase, score.naive_mase) == (None, None)


def test_a_gap_in_place_of_all_that_is_held_back_leaves_no_score() -> None:
    """Which is not the score of a forecast that never errs; one value is enough for a score."""
    gap: list[Value] = [None] * 21
    found = foreseen(waves(7 * 8, 7, noise=3.0) + gap, 7, 7)
    assert len(found.periods) == 7
    assert found.score is None
    assert foreseen(waves(7 * 8, 7, noise=3.0) + gap[1:] + [100.0], 7, 7).score is not None


def test_gaps_are_bridged() -> None:
    """Missing values correct nothing, and are no zeros."""
    values = waves(24 * 14, 24, noise=2.0)
    gaps: list[Value] = [
        None if at % 11 == 3 or 60 <= at < 70 else one for at, one in enumerate(values)
    ]
    whole, holed = foreseen(values, 24, 24), foreseen(gaps, 24, 24)
    for one, other in zip(whole.periods, holed.periods, strict=True):
        assert other.value == pytest.approx(one.value, abs=8.0)


def test_what_was_missing_from_the_beginning_does_not_count() -> None:
    """A service that began a week ago has a week of history, however much was asked for."""
    values = waves(7 * 8, 7, noise=3.0)
    nothing: list[Value] = [None] * 300
    assert foreseen(nothing + values, 7, 7) == foreseen(values, 7, 7)


def test_too_few_values_are_said_to_be_too_few() -> None:
    """One less than needed is nothing; a season needs three of them, and is left out before."""
    assert predict([1.0] * (needed(0) - 1), 24, 24) is None
    assert predict([], 24, 24) is None
    assert predict([None] * 100, 24, 24) is None
    assert foreseen(waves(needed(24) - 1, 24), 24, 24).season == 0
    assert foreseen(waves(needed(24), 24), 24, 24).season == 24


def test_no_value_leaves_its_bounds() -> None:
    """A falling count stops at nothing, a share at all of it."""
    falling: list[Value] = [float(max(0, 200 - 8 * at)) for at in range(30)]
    assert all(one.value >= 0 <= one.within_95[0] for one in foreseen(falling, 0, 12).periods)
    share: list[Value] = [1.0 if at % 3 else 0.97 for at in range(40)]
    told = foreseen(share, 0, 12, (0.0, 1.0))
    assert all(one.within_95[1] <= 1.0 for one in told.periods)


def test_a_trend_fades() -> None:
    """What has grown for long is not taken to grow without end."""
    found = fit([10.0 * at for at in range(50)])
    means = found.mean(200)
    steps = [later - sooner for sooner, later in pairwise(means)]
    assert all(later <= sooner for sooner, later in pairwise(steps))
    assert steps[-1] < 0.2 * steps[0]
