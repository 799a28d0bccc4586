"""Schedules run when users of cron expect it, also when the clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.store.timetable import CronError, Timetable, TimetableError, TimeZoneError

ATHENS = "Europe/Athens"
NEW_YORK = "America/New_York"


def runs(cron: str, zone: str, begin: str, days: int = 1) -> list[str]:
    """Return when it runs in the days from a local time on: local times with their offsets."""
    table = Timetable.of(cron, zone)
    local = ZoneInfo(zone)
    moment = datetime.fromisoformat(begin).replace(tzinfo=local).astimezone(UTC)
    end = moment + timedelta(days=days)
    found = []
    while (later := table.after(moment)) is not None and later < end:
        found.append(later.astimezone(local).isoformat(timespec="minutes"))
        moment = later
    return found


def test_it_runs_at_local_times() -> None:
    """In summer and winter alike."""
    assert runs("0 6 * * 1-5", ATHENS, "2026-03-27T00:00", 4) == [
        "2026-03-27T06:00+02:00",
        "2026-03-30T06:00+03:00",
    ]


@pytest.mark.parametrize(
    ("zone", "day", "missing", "instead"),
    [
        (ATHENS, "2026-03-29", "30 3 * * *", "2026-03-29T04:00+03:00"),
        (NEW_YORK, "2026-03-08", "30 2 * * *", "2026-03-08T03:00-04:00"),
    ],
)
def test_what_the_clocks_skip_runs_at_once_after_it(
    zone: str, day: str, missing: str, instead: str
) -> None:
    """Once, and not again the same day."""
    assert runs(missing, zone, f"{day}T00:00") == [instead]


@pytest.mark.parametrize(
    ("zone", "day", "cron", "once"),
    [
        (ATHENS, "2026-10-25", "30 3 * * *", "2026-10-25T03:30+03:00"),
        (NEW_YORK, "2026-11-01", "30 1 * * *", "2026-11-01T01:30-04:00"),
    ],
)
def test_what_the_clocks_repeat_runs_once(zone: str, day: str, cron: str, once: str) -> None:
    """In the first pass."""
    assert runs(cron, zone, f"{day}T00:00") == [once]


@pytest.mark.parametrize(
    ("zone", "second_pass", "cron", "expected"),
    [
        (ATHENS, "2026-10-25T03:10", "30 3 * * *", "2026-10-26T03:30+02:00"),
        (NEW_YORK, "2026-11-01T01:10", "30 1 * * *", "2026-11-02T01:30-05:00"),
    ],
)
def test_looked_at_in_the_second_pass_it_has_run_already(
    zone: str, second_pass: str, cron: str, expected: str
) -> None:
    """A server that starts then must not run it again, nor find a next time that is past."""
    local = ZoneInfo(zone)
    moment = datetime.fromisoformat(second_pass).replace(tzinfo=local, fold=1)
    later = Timetable.of(cron, zone).after(moment)
    assert later is not None
    assert later.astimezone(local).isoformat(timespec="minutes") == expected


def test_what_runs_every_so_often_keeps_its_distance() -> None:
    """Through the hour that is repeated, and the one that is skipped."""
    night = runs("0 * * * *", NEW_YORK, "2026-11-01T00:30", 1)
    assert night[:3] == [
        "2026-11-01T01:00-04:00",
        "2026-11-01T01:00-05:00",
        "2026-11-01T02:00-05:00",
    ]
    assert runs("0 * * * *", ATHENS, "2026-03-29T01:30", 1)[:3] == [
        "2026-03-29T02:00+02:00",
        "2026-03-29T04:00+03:00",
        "2026-03-29T05:00+03:00",
    ]


@given(
    cron=st.sampled_from(["*/7 * * * *", "30 2,3 * * *", "0 0 L * *", "15 1 * * SUN", "0 * * * *"]),
    zone=st.sampled_from([ATHENS, NEW_YORK, "UTC", "Australia/Lord_Howe", "Asia/Kolkata"]),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - given its zone below
)
def test_each_run_lies_ahead_of_the_one_before(cron: str, zone: str, start: datetime) -> None:
    """Wherever in a year it is looked at, and the next one is the same from anywhere between."""
    table = Timetable.of(cron, zone)
    times = [start.replace(tzinfo=UTC)]
    for _ in range(4):
        later = table.after(times[-1])
        assert later is not None
        times.append(later)
    for before, later in pairwise(times):
        assert before < later
        assert table.after(before + (later - before) / 2) == later


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("* * * *", "must have 5 fields"),
        ("0 0 * * * *", "must have 5 fields"),
        ("", "must have 5 fields"),
        ("@hourly", "must have 5 fields"),
        ("61 * * * *", "is wrong at the minute, '61': must be 0 to 59"),
        ("* 24 * * *", "is wrong at the hour, '24': must be 0 to 23"),
        ("* * 0 * *", "is wrong at the day-of-month, '0': must be 1 to 31"),
        ("* * * 13 *", "is wrong at the month, '13': must be 1 to 12"),
        ("* * * * monday", "is wrong at the day-of-week, 'monday': must be 0 to 7"),
        ("5-1 * * * *", "is wrong at the minute, '5-1'"),
        ("*/0 * * * *", "is wrong at the minute, '*/0'"),
        ("0 0 30 2 *", "must come true on some day: this one never does"),
        ("0 0 31 4 LW", "is wrong at the day-of-week, 'LW'"),
    ],
)
def test_a_bad_cron_is_told_where_it_is_wrong(cron: str, told: str) -> None:
    """And what the field may hold."""
    with pytest.raises(CronError) as caught:
        Timetable.of(cron, "UTC")
    assert caught.value.description.startswith(told)
    assert caught.value.field == "cron"


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "EET+2", "/UTC"])
def test_an_unknown_time_zone_is_named(zone: str) -> None:
    """With what a name looks like."""
    with pytest.raises(TimeZoneError, match=r"such as Europe/Athens: there is no '.*'") as caught:
        Timetable.of("* * * * *", zone)
    assert caught.value.field == "time_zone"


@given(st.text("0123456789*/-,L#W MONJAN\t²", max_size=20))
def test_any_text_is_a_timetable_or_told_why_not(cron: str) -> None:
    """It raises nothing else."""
    try:
        table = Timetable.of(cron, "UTC")
    except TimetableError:
        return
    assert table.after(datetime(2026, 1, 1, tzinfo=UTC))
