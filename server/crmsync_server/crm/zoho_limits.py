"""Zoho's limits: credits in any 24 hours, and calls at once; a 429 does not say which it means."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from crmsync_server.crm.adapter import Allowance
from crmsync_server.crm.replies import Reply, count, retry_after

CREDITS, BURST = "credits", "burst"
_REMAINING = "x-api-credits-remaining"
_RECORDS_PER_CREDIT = 10
# Others of the organization may have used up what was left when it was last told.
_LAST_CREDITS = 20
_BURST_WAIT = timedelta(seconds=10)
# Credits come back one by one, as the calls of yesterday turn a day old.
_CREDITS_WAIT = timedelta(minutes=30)


class ZohoLimits:
    """Reads X-API-CREDITS-REMAINING, which is only there once half of the credits are used."""

    def __init__(self) -> None:
        """Begin without knowing what is left."""
        self._left: int | None = None

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterable[Allowance]:
        """Return what is left of the credits, if the header tells it."""
        del buckets, now
        left = count(reply.headers.get(_REMAINING))
        self._left = left
        return () if left is None else (Allowance(CREDITS, None, left),)

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Return which limit a 429 means, as far as can be known, and until when to wait."""
        del buckets
        return self.meant(reply), wait_until(reply, now)

    def meant(self, reply: Reply) -> str:
        """Tell which limit a 429 means; that of calls at once where nothing speaks for credits."""
        left = count(reply.headers.get(_REMAINING))
        known = self._left if left is None else left
        return CREDITS if known is not None and known <= _LAST_CREDITS else BURST


def wait_until(reply: Reply, now: datetime) -> datetime:
    """Read a 429: half an hour where no credit is left, else ten seconds, or as Zoho asks."""
    left = count(reply.headers.get(_REMAINING))
    used_up = left is not None and left <= _LAST_CREDITS
    asked = retry_after(reply.headers, now)
    return asked or now + (_CREDITS_WAIT if used_up else _BURST_WAIT)


def credits_for(records: int) -> int:
    """Return what a call costs that writes so many records."""
    return max(1, -(-records // _RECORDS_PER_CREDIT))
