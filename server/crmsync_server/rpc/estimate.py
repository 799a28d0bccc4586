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
    """How long a lane needs, from one look at its backlog (store.stats.backlogs)."""

    def __init__(
        self, backlog: sa.Row[Any], traits: CrmTraits, clock: Callable[[], datetime]
    ) -> None:
        """Take the lane as it is now."""
        self._open = int(backlog.open)
        self._rate = max(backlog.records_per_second or traits.records_per_second, _SLOWEST)
        now = clock()
        self._start = max(now, backlog.paused_until or now)

    def first(self) -> datetime:
        """Return when a record at the head of the queue is delivered."""
        return self._start + timedelta(seconds=1 / self._rate)

    def last(self) -> datetime:
        """Return when everything that is queued now is delivered."""
        return self._start + timedelta(seconds=self._open / self._rate)
