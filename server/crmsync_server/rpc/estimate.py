"""When queued work will be done: from the lane's measured rate or, before, the CRM's limits."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crmsync_server.rpc.crms import CrmTraits

_SLOWEST = (
    0.01  # records per second; a lane that stood still must not push the estimate to infinity
)


class Estimate:
    """How long a lane needs, from one look at its backlog (store.stats.backlogs).

    Nothing is estimated, None, while somebody has paused the lane: that has no end of its own.
    """

    def __init__(
        self, backlog: sa.Row[Any], traits: CrmTraits, clock: Callable[[], datetime]
    ) -> None:
        """Take the lane as it is now."""
        self._open = int(backlog.open)
        self._rate = max(backlog.records_per_second or traits.records_per_second, _SLOWEST)
        now = clock()
        self._start = max(now, backlog.paused_until or now)
        self._held = bool(backlog.held)

    def first(self) -> datetime | None:
        """Return when a record at the head of the queue is delivered."""
        return None if self._held else self._after(1)

    def last(self) -> datetime | None:
        """Return when everything that is queued now is delivered."""
        return None if self._held else self._after(self._open)

    def due(self, next_retry_time: datetime | None) -> datetime | None:
        """Return when a record is delivered that is not due before its retry, None for at once."""
        if self._held:
            return None
        return max(next_retry_time or self._after(self._open), self._after(1))

    def _after(self, records: int) -> datetime:
        return self._start + timedelta(seconds=records / self._rate)
