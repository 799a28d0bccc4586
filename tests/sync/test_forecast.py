"""When a session will finish: by its lane's speed, by what the CRM allows, over days."""

from datetime import UTC, datetime, timedelta

import pytest

from crmsync_server.sync.forecast import Bucket, Forecast, Outlook, forecast

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BURST = Bucket("burst", 190, 10.0, 190, kept=4)
HOUR = 3600.0
DAY = 24 * HOUR


def day(left: int, reset: float = 10 * HOUR, calls: int = 1000) -> Bucket:
    """Return a day's allowance."""
    return Bucket("daily", calls, DAY, left, reset=reset)


def foreseen(
    pending: int,
    *buckets: Bucket,
    ahead: int = 0,
    batch_size: int = 100,
    speed: float | None = None,
    starts: float | None = 0.0,
) -> Forecast:
    """Return what is expected of a session."""
    found = forecast(Outlook(pending, ahead, batch_size, speed, starts, buckets), NOW)
    assert found is not None
    return found


def seconds(found: Forecast) -> float:
    """Return in how many seconds a session finishes."""
    assert found.finishes is not None
    return (found.finishes - NOW).total_seconds()


def test_nothing_is_foreseen_where_nothing_is_known() -> None:
    """Neither a limit nor a measured rate."""
    assert forecast(Outlook(100, 0, 100, None, 0.0, ()), NOW) is None


def test_a_window_decides_where_it_is_slower_than_the_lane() -> None:
    """500 calls at 18.6 a second."""
    for speed in (None, 5000.0, 1850.0):
        found = foreseen(50_000, BURST, speed=speed)
        assert seconds(found) == pytest.approx(26.9, rel=0.03)
        assert (found.calls, found.limiting_bucket) == (500, "burst")


def test_the_lane_decides_where_it_is_slower_than_the_windows() -> None:
    """10 records a second, whatever the CRM allows."""
    found = foreseen(1000, BURST, day(1000), speed=10.0)
    assert (seconds(found), found.limiting_bucket) == (100.0, "")


def test_what_is_queued_ahead_comes_first_and_is_not_counted_in() -> None:
    """The calls are the session's own, the time is that of both."""
    found = foreseen(1000, day(1000), ahead=9000, speed=100.0)
    assert (seconds(found), found.calls) == (100.0, 10)
    assert found.daily_share == 0.01


def test_a_call_that_is_not_full_is_a_call() -> None:
    """101 records take two."""
    assert foreseen(101, BURST).calls == 2


@pytest.mark.parametrize(
    ("calls", "days"),
    [(200, 0), (201, 1), (1200, 1), (1201, 2), (3200, 3)],
    ids=["today", "tomorrow", "all of tomorrow", "the day after", "three days"],
)
def test_the_day_must_begin_anew_as_often_as_its_calls_are_used_up(calls: int, days: int) -> None:
    """200 are left of today, 1000 come with each reset."""
    found = foreseen(calls * 100, BURST, day(200), speed=1e6)
    begins = 10 * HOUR + (days - 1) * DAY if days else 0.0
    assert begins < seconds(found) < begins + 60
    assert found.limiting_bucket == ("daily" if days else "burst")
    assert found.daily_share == calls / 1000


def test_only_what_is_left_for_the_last_day_takes_time_on_it() -> None:
    """At the lane's speed."""
    found = foreseen(30_000, day(200), speed=100.0)
    assert seconds(found) == 10 * HOUR + 100


def test_a_paused_lane_begins_later() -> None:
    """And the day may have begun anew until then."""
    assert seconds(foreseen(100, speed=100.0, starts=60.0)) == 61.0
    found = foreseen(50_000, day(0), speed=1000.0, starts=10 * HOUR)
    assert seconds(found) == 10 * HOUR + 50
    assert found.limiting_bucket == "daily"


def test_a_lane_that_is_stopped_finishes_at_no_known_time() -> None:
    """What it will take is known all the same."""
    found = foreseen(1000, BURST, day(100), starts=None)
    assert found.finishes is None
    assert (found.calls, found.daily_share) == (10, 0.01)


def test_an_hour_gives_what_is_left_of_it_at_once() -> None:
    """And the rest at its rate."""
    hourly = Bucket("hourly", 1000, HOUR, 600, kept=100)
    assert seconds(foreseen(500, hourly, batch_size=1)) == 0.0
    assert seconds(foreseen(590, hourly, batch_size=1)) == pytest.approx(360.0)


def test_a_refused_bucket_opens_first() -> None:
    """The CRM wants no call before."""
    hourly = Bucket("hourly", 1000, HOUR, 1000, opens=120.0)
    assert seconds(foreseen(1, hourly)) == 120.0


def test_the_day_is_told_with_what_is_left_of_it() -> None:
    """And a CRM without one says so."""
    found = foreseen(100, day(640))
    assert (found.daily_limit, found.daily_remaining) == (1000, 640)
    assert found.daily_reset == NOW + timedelta(hours=10)
    without = foreseen(100, BURST)
    assert (without.daily_limit, without.daily_remaining) == (0, 0)
    assert (without.daily_share, without.daily_reset) == (0.0, None)


def test_a_session_whose_records_are_all_under_way_is_done_now() -> None:
    """Nothing is left to wait for."""
    assert seconds(foreseen(0, BURST, speed=10.0)) == 0.0
