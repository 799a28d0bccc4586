"""Allowances: how many requests a CRM takes in a span of time.

All three kinds answer the same questions: `has_room`, `remaining`, and `take` for a request that
was let in. A refused request takes nothing.
"""

from collections import deque
from datetime import date, datetime, timedelta
from math import ceil
from zoneinfo import ZoneInfo


class RollingWindow:
    """At most `limit` requests in any span of `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        """Start with nothing taken."""
        self.limit = limit
        self.seconds = seconds
        self._taken: deque[datetime] = deque()

    def remaining(self, now: datetime) -> int:
        """Return how many requests would still be let in now."""
        horizon = now - timedelta(seconds=self.seconds)
        while self._taken and self._taken[0] <= horizon:
            self._taken.popleft()
        return max(0, self.limit - len(self._taken))

    def has_room(self, now: datetime) -> bool:
        """Say whether a request would be let in now."""
        return self.remaining(now) > 0

    def take(self, now: datetime) -> None:
        """Count a request."""
        self._taken.append(now)


class FixedWindow:
    """At most `limit` requests in a span of `seconds` that its first request opens."""

    def __init__(self, limit: int, seconds: float) -> None:
        """Start with no window open."""
        self.limit = limit
        self.seconds = seconds
        self._opened: datetime | None = None
        self._taken = 0

    def reset_after(self, now: datetime) -> int:
        """Return the whole seconds until the window closes, rounded up."""
        if self._opened is None:
            return ceil(self.seconds)
        return max(0, ceil(self.seconds - (now - self._opened).total_seconds()))

    def remaining(self, now: datetime) -> int:
        """Return how many requests would still be let in now."""
        if self._opened is not None and (now - self._opened).total_seconds() >= self.seconds:
            self._opened = None
            self._taken = 0
        return max(0, self.limit - self._taken)

    def has_room(self, now: datetime) -> bool:
        """Say whether a request would be let in now."""
        return self.remaining(now) > 0

    def take(self, now: datetime) -> None:
        """Count a request; the first one opens the window."""
        self._opened = self._opened or now
        self._taken += 1


class DailyQuota:
    """At most `limit` requests from midnight to midnight in one time zone."""

    def __init__(self, limit: int, zone: ZoneInfo) -> None:
        """Start with nothing taken."""
        self.limit = limit
        self._zone = zone
        self._day: date | None = None
        self._taken = 0

    def remaining(self, now: datetime) -> int:
        """Return how many requests would still be let in now."""
        today = now.astimezone(self._zone).date()
        if today != self._day:
            self._day = today
            self._taken = 0
        return max(0, self.limit - self._taken)

    def has_room(self, now: datetime) -> bool:
        """Say whether a request would be let in now."""
        return self.remaining(now) > 0

    def take(self, now: datetime) -> None:
        """Count a request against the day that `now` falls in."""
        self.remaining(now)
        self._taken += 1
