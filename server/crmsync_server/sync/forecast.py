"""When a session will finish, how many calls it takes, and what part of the day's allowance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

# A lane that is held up by a bucket is measured at a little less than the bucket's own rate.
_HELD_UP = 0.85
# What is left of a shorter window is soon no more than a window's worth: only the rate counts.
_SHORT = 60.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a bucket allows from now on.

    calls: in any period, or in a day; period: seconds.
    left: of them now, as far as is known.
    kept: how many of a window's calls are left to urgent work.
    reset: seconds until a day begins anew; None for any other bucket.
    opens: seconds until anything is granted.
    """

    name: str
    calls: int
    period: float
    left: int
    kept: int = 0
    reset: float | None = None
    opens: float = 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a session's work.

    pending: its own records; ahead: those that are queued before them.
    batch_size: how many records a call takes.
    records_per_second: as the lane was measured, None before.
    starts: seconds until the lane delivers again; None while it is stopped without an end.
    """

    pending: int
    ahead: int
    batch_size: int
    records_per_second: float | None
    starts: float | None
    buckets: Sequence[Bucket]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of a session.

    finishes: when its last record is delivered; None while its lane is stopped without an end.
    calls: how many calls its pending records take.
    daily_share: calls as a share of a whole day's allowance; 0.0 without a daily limit.
    limiting_bucket: which allowance decides when it finishes; empty when the lane's speed does.
    daily_limit, daily_remaining: calls of a day, and what is left of today's; 0 without.
    daily_reset: when the day begins anew; None without a daily limit.
    """

    finishes: datetime | None
    calls: int
    daily_share: float
    limiting_bucket: str
    daily_limit: int
    daily_remaining: int
    daily_reset: datetime | None


def forecast(outlook: Outlook, now: datetime) -> Forecast | None:
    """Return what is expected of a session; None where neither a limit nor a rate is known."""
    if not outlook.buckets and not outlook.records_per_second:
        return None
    calls = ceil(outlook.pending / outlook.batch_size)
    daily = next((bucket for bucket in outlook.buckets if bucket.reset is not None), None)
    seconds, limiting = _duration(outlook)
    reset = None if daily is None or daily.reset is None else timedelta(seconds=daily.reset)
    return Forecast(
        finishes=None if seconds is None else now + timedelta(seconds=seconds),
        calls=calls,
        daily_share=calls / daily.calls if daily else 0.0,
        limiting_bucket=limiting,
        daily_limit=daily.calls if daily else 0,
        daily_remaining=daily.left if daily else 0,
        daily_reset=None if reset is None else now + reset,
    )


def _duration(outlook: Outlook) -> tuple[float | None, str]:
    """Return the seconds until a session is done, and which bucket it waits for."""
    if outlook.starts is None:
        return None, ""
    records = outlook.ahead + outlook.pending
    calls = ceil(records / outlook.batch_size)
    begins, waits = outlook.starts, ""
    for bucket in outlook.buckets:
        day, left = _last_day(bucket, calls, outlook.starts)
        if day >= begins and left is not None:
            begins, calls, waits = day, left, bucket.name
    seconds, limiting = _within(outlook, calls, begins)
    return begins + seconds, waits or limiting


def _last_day(bucket: Bucket, calls: int, starts: float) -> tuple[float, int | None]:
    """Return when the last of the days begins that calls take, and how many that one takes.

    None where they are done today, or the bucket knows no days.
    """
    if bucket.reset is None:
        return starts, None
    day, left, waits = bucket.reset, bucket.left, False
    while day <= starts:
        day, left, waits = day + bucket.period, bucket.calls, waits or left == 0
    over = calls - left
    if over <= 0:
        return starts, calls if waits else None
    whole = (over - 1) // bucket.calls
    return day + whole * bucket.period, over - whole * bucket.calls


def _within(outlook: Outlook, calls: int, begins: float) -> tuple[float, str]:
    """Return the seconds that calls take within a day, and which window makes them so many."""
    records = min(outlook.ahead + outlook.pending, calls * outlook.batch_size)
    speed = outlook.records_per_second
    measured = records / speed if speed else 0.0
    windows = [
        (_window(bucket, calls, begins), bucket.name)
        for bucket in outlook.buckets
        if bucket.reset is None
    ]
    seconds, name = max(windows, default=(0.0, ""))
    return max(seconds, measured), name if seconds > _HELD_UP * measured else ""


def _window(bucket: Bucket, calls: int, begins: float) -> float:
    """Return the seconds that calls take: what is left at once, the others at the steady rate."""
    at_once = bucket.left if begins < bucket.period else bucket.calls
    at_once = 0 if bucket.period <= _SHORT else max(0, at_once - bucket.kept)
    rate = (bucket.calls - bucket.kept) / bucket.period
    return max(0.0, bucket.opens - begins) + max(0, calls - at_once) / rate
