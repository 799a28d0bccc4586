"""How a bucket is drawn on, worked out from its limit once.

Time is cut into slots, 200 to a period. A granted call counts in the slot that it must have been
made in, and leaves the count when that slot is older than the period: so no window of one period
ever holds more calls than were granted for it, whichever replica makes them, and when.

Short windows are paced as well: their calls are handed out a little faster than the steady rate,
never all at once, so that urgent work finds the next call near and the CRM sees no waves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as time_of_day

from crmsync_server.crm.adapter import Limit

_SLOTS = 200
_DAY = timedelta(days=1).total_seconds()
_PACED = 60.0
# A little above the steady rate: what a stalled process leaves unused is caught up within a window.
_HASTE = 1.05
_LEAD = 0.05
_UNUSED = 0.25
_RELEASES = 10
_ROUNDING = 1e-4  # of calls and seconds; moments since 1970 are exact to a thousandth of it

# Around a day's reset nothing is granted: the CRM's clock need not agree with ours.
EARLY, LATE = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Rules:
    """A limit, cut into the parts that granting needs; all times in seconds.

    slot: how finely calls are counted.
    guard: how much longer than the period a call counts, for the network's jitter.
    slack: how late after its moment a granted call may still be made.
    span: how far ahead calls are granted in one lot; 0 when the bucket is not paced.
    share: how much of it is kept for urgent work.
    most: the largest lot.
    """

    bucket: str
    calls: int
    period: float
    slot: float
    guard: float
    slack: float
    span: float
    share: float
    most: int
    zone: tzinfo | None
    ceiling: int | None

    @property
    def is_daily(self) -> bool:
        """Whether the bucket begins anew at a known moment, once that is known."""
        return self.period >= _DAY

    def interval(self, calls: int) -> float:
        """Return the time between two calls at the pace; 0 when the bucket is not paced."""
        return self.period / (calls * _HASTE) if self.span else 0.0

    def lead(self, calls: int) -> int:
        """Return how many calls may be ahead of the pace."""
        return int(calls * _LEAD)

    def reserve(self, calls: int, left: float | None, *, is_used: bool = False) -> int:
        """Return how many calls of a window are kept for urgent work.

        left: until the window ends, None when it has no end. What urgent work has not used by then
            would be lost, so that it is released in ten steps.
        is_used: whether there was urgent work within the last period. Where there was none, a short
            window keeps a quarter: enough for the first urgent calls, and little lost to others.
        """
        share = self.share * _UNUSED if self.span and not is_used else self.share
        if left is not None:
            share *= min(_RELEASES, int(_RELEASES * left / self.period)) / _RELEASES
        return min(int(calls * share + _ROUNDING), calls - 1)

    def step(self) -> float:
        """Return how long it takes between two releases of what is kept."""
        return self.period / _RELEASES

    def oldest(self, at: float) -> int:
        """Return the first slot that still counts at a moment."""
        return int((at - self.period - self.guard) // self.slot)

    def slot_of(self, at: float) -> int:
        """Return the slot of a moment."""
        return int(at // self.slot)

    def leaves(self, slot: int) -> float:
        """Return when a slot counts no longer."""
        return (slot + 1) * self.slot + self.period + self.guard + _ROUNDING

    def next_reset(self, reset: float, now: float) -> float:
        """Return the first reset after now, given an earlier one."""
        if self.zone is not None:
            return next_midnight(now, self.zone)
        return reset + ((now - reset) // self.period + 1) * self.period


def rules(limit: Limit, share: float) -> Rules:
    """Return how a limit is kept; share is what urgent work has of it, from 0 to 1."""
    period = limit.period.total_seconds()
    calls = max(1, limit.calls)
    paced = period <= _PACED
    return Rules(
        bucket=limit.bucket,
        calls=calls,
        period=period,
        slot=period / _SLOTS,
        guard=min(0.05, period / 40),
        slack=min(0.1, period / 20) if paced else min(5.0, period / 50),
        span=min(0.5, period / 4) if paced else 0.0,
        share=share,
        most=calls if paced else max(1, min(50, calls // 200)),
        zone=limit.resets,
        ceiling=limit.ceiling,
    )


def next_midnight(now: float, zone: tzinfo) -> float:
    """Return when the next day begins in a zone."""
    tomorrow = datetime.fromtimestamp(now, UTC).astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time_of_day.min, tzinfo=zone).timestamp()
