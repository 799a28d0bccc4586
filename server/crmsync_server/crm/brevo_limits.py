"""Brevo's limits as its replies tell them: contacts by the second and the hour, all else hourly."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import log

from crmsync_server.crm.adapter import Allowance, Limit
from crmsync_server.crm.replies import Reply, count, retry_after, seconds

CONTACTS, CONTACTS_HOURLY, OTHER = "contacts", "contacts_hourly", "other"
# The hour first: a call that the hour forbids must not use up the second.
CONTACTS_BUCKETS = (CONTACTS_HOURLY, CONTACTS)

_DEFAULT_WAIT = timedelta(seconds=10)
_SHORTEST_WAIT = timedelta(seconds=1)


def resets_at(reply: Reply, now: datetime) -> datetime:
    """Return until when a 429 asks to wait.

    The header counts the time that remains; it is not a moment.
    """
    left = seconds(reply.headers.get("x-sib-ratelimit-reset"))
    if left is None:
        return retry_after(reply.headers, now) or now + _DEFAULT_WAIT
    return now + max(left, _SHORTEST_WAIT)


class AccountLimits:
    """Reads the headers, which describe one of the limits of a call and do not say which."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        """Take the limits that the account is believed to have."""
        self._limits: Mapping[str, Limit] = {limit.bucket: limit for limit in limits}

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterator[Allowance]:
        """Return what the headers say of the limit that they most probably mean."""
        del now
        calls = count(reply.headers.get("x-sib-ratelimit-limit"))
        left = count(reply.headers.get("x-sib-ratelimit-remaining"))
        reset = seconds(reply.headers.get("x-sib-ratelimit-reset"))
        if calls or left is not None:
            yield Allowance(self._meant(reply, buckets), calls or None, left, reset)

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Return which limit a 429 means, and until when to wait."""
        return self._meant(reply, buckets), resets_at(reply, now)

    def _meant(self, reply: Reply, buckets: Sequence[str]) -> str:
        """Return the bucket by the time that remains, and by which allowance comes nearest."""
        reset = seconds(reply.headers.get("x-sib-ratelimit-reset")) or timedelta(0)
        calls = count(reply.headers.get("x-sib-ratelimit-limit"))
        known = [self._limits[bucket] for bucket in buckets]
        # A second is told as 1, and may have been rounded up.
        possible = [one for one in known if reset <= one.period + _SHORTEST_WAIT] or known
        if not calls:
            return min(possible, key=lambda one: one.period).bucket
        return min(possible, key=lambda one: abs(log(one.calls / calls))).bucket
