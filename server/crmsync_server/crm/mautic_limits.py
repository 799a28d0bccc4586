"""Mautic's one limit: calls per hour, off unless an administrator sets it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from crmsync_server.crm.adapter import Allowance
from crmsync_server.crm.replies import Reply, count, retry_after, seconds

HOURLY = "hourly"
_REFUSED_WAIT = timedelta(minutes=1)
_SHORTEST_WAIT = timedelta(seconds=1)
# A count of seconds since 1970; what is left of an hour is never that long.
_INSTANT = 1_000_000_000


class MauticLimits:
    """Reads X-RateLimit-Limit, -Remaining and -Reset; none of them is sent without a limit."""

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterable[Allowance]:
        """Return the hour's allowance, if the headers tell it."""
        calls = count(reply.headers.get("x-ratelimit-limit"))
        remaining = count(reply.headers.get("x-ratelimit-remaining"))
        if HOURLY not in buckets or calls is None or remaining is None:
            return ()
        return (Allowance(HOURLY, calls, remaining, _reset(reply, now)),)

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Return until when a 429 asks to wait."""
        return buckets[-1], wait_until(reply, now)


def wait_until(reply: Reply, now: datetime) -> datetime:
    """Read a 429: Retry-After, the reset of the hour, or a minute; a second at least."""
    asked = retry_after(reply.headers, now)
    left = _reset(reply, now)
    found = asked or now + (_REFUSED_WAIT if left is None else left)
    return max(found, now + _SHORTEST_WAIT)


def _reset(reply: Reply, now: datetime) -> timedelta | None:
    value = reply.headers.get("x-ratelimit-reset")
    instant = count(value)
    if instant is None or instant < _INSTANT:
        return seconds(value)
    return seconds(str(instant - now.astimezone(UTC).timestamp()))
