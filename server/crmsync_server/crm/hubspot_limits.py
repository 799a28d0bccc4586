"""When HubSpot asks to wait, and until when."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crmsync_server.crm.outcomes import Postponed
from crmsync_server.crm.replies import Reply, brief, retry_after, seconds, text

LOCKED = 423
TOO_MANY = 429
MIGRATING = 477
WAITING = frozenset({LOCKED, TOO_MANY, MIGRATING})

_BURST = timedelta(seconds=10)
_SHORTEST_LOCK = timedelta(seconds=2)
_MIGRATION = timedelta(hours=1)


def is_daily(reply: Reply) -> bool:
    """Tell whether a 429 means that the day's allowance is used up."""
    policy = text(reply.fields.get("policyName")).upper()
    return policy == "DAILY" or (not policy and _remaining_today(reply) == "0")


def _remaining_today(reply: Reply) -> str:
    return str(reply.headers.get("x-hubspot-ratelimit-daily-remaining", ""))


def wait(reply: Reply, now: datetime, zone: tzinfo) -> Postponed:
    """Read a 423, 429 or 477 as the time to wait.

    zone: the portal's; HubSpot resets the day's allowance at midnight there.
    """
    words = brief(text(reply.fields.get("message"))) or f"HTTP {reply.status}"
    asked = retry_after(reply.headers, now)
    if reply.status == LOCKED:
        return Postponed(max(asked or now, now + _SHORTEST_LOCK), "LOCKED", words, lane=False)
    if reply.status == MIGRATING:
        return Postponed(asked or now + _MIGRATION, "MIGRATING", words)
    if is_daily(reply):
        return Postponed(next_midnight(now, zone), "DAILY", words)
    return Postponed(asked or now + _interval(reply), _policy(reply), words)


def _policy(reply: Reply) -> str:
    return text(reply.fields.get("policyName")).upper() or "RATE_LIMIT"


def _interval(reply: Reply) -> timedelta:
    milliseconds = seconds(reply.headers.get("x-hubspot-ratelimit-interval-milliseconds"))
    return milliseconds / 1000 if milliseconds else _BURST


def next_midnight(now: datetime, zone: tzinfo) -> datetime:
    """Return when the next day begins in a zone."""
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=zone).astimezone(UTC)


def zone_named(name: str) -> tzinfo | None:
    """Return a time zone by its IANA name; None when this machine does not know it."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
