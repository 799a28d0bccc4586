"""How fast a lane goes, measured now and then."""

import time
from collections.abc import Callable

_WINDOW = 2.0
_IDLE = 30.0


class Pace:
    """Counts finished records and says their rate once per window."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Measure by this clock, in seconds."""
        self._now = now
        self._since: float | None = None
        self._count = 0

    def rest(self) -> None:
        """Forget what was counted: nothing is due, and waiting for work is no slowness."""
        self._since = None

    def measured(self, count: int) -> float | None:
        """Count records; return records per second when a window is full, None otherwise."""
        now = self._now()
        if self._since is None or now - self._since > _IDLE:
            self._since, self._count = now, 0
            return None
        self._count += count
        elapsed = now - self._since
        if elapsed < _WINDOW:
            return None
        rate = self._count / elapsed
        self._since, self._count = now, 0
        return rate
