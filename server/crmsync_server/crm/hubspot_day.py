"""HubSpot's limits as its replies tell them, and the portal's midnight, when its day ends."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from http import HTTPStatus

from crmsync_server.crm.adapter import Allowance
from crmsync_server.crm.http import Caller
from crmsync_server.crm.hubspot_limits import is_daily, next_midnight, wait, zone_named
from crmsync_server.crm.outcomes import Postponed
from crmsync_server.crm.replies import Reply, count, text

BURST, DAILY, SEARCH = "burst", "daily", "search"
# The day first: a call that the day forbids must not use up the burst.
BUCKETS = (DAILY, BURST)
SEARCH_BUCKETS = (DAILY, SEARCH)
DETAILS = "/account-info/v3/details"

_HEADER = "x-hubspot-ratelimit-"
_BURST_MILLISECONDS = 10_000
# With so few calls left it is asked where the portal is: while there are calls to ask with, and
# before ordinary work, of which a share of the day is kept, would wait for an unknown midnight.
_LOW_SHARE = 0.5
_ASKED_AGAIN = timedelta(minutes=1)


class Zone:
    """The portal's time zone, asked for once; UTC while it is unknown."""

    def __init__(self, caller: Caller) -> None:
        """Take the portal's caller; nothing is called yet."""
        # Reading the limits of a reply is what asks here: a reply to this question must not.
        self._caller = replace(caller, limits=None)
        self._asked_time: datetime | None = None
        self.known: tzinfo | None = None

    def learn(self, details: Reply) -> None:
        """Take the zone from the portal's details; one that this machine does not know is UTC."""
        self.known = zone_named(text(details.fields.get("timeZone"))) or UTC

    async def read(self) -> tzinfo:
        """Return the zone; while nobody tells it is asked for once a minute at most."""
        now = self._caller.tools.clock()
        lately = self._asked_time is not None and now - self._asked_time < _ASKED_AGAIN
        if self.known is None and not lately:
            self._asked_time = now
            details = await self._caller.call("GET", DETAILS, buckets=BUCKETS)
            if isinstance(details, Reply) and details.status == HTTPStatus.OK:
                self.learn(details)
        return self.known or UTC


class PortalLimits:
    """Reads what HubSpot's headers tell; searches tell nothing."""

    def __init__(self, zone: Zone) -> None:
        """Take the portal's zone: its day ends at midnight there."""
        self._zone = zone
        self._is_low = False

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterator[Allowance]:
        """Return what the headers say of the ten seconds and of the day."""
        del buckets
        interval = _number(reply, "interval-milliseconds")
        # Of any other interval the headers would tell nothing about our ten seconds.
        if interval in {None, _BURST_MILLISECONDS}:
            yield from _allowance(BURST, _number(reply, "max"), _number(reply, "remaining"))
        calls, left = _number(reply, "daily"), _number(reply, "daily-remaining")
        self._is_low = calls is not None and left is not None and left < calls * _LOW_SHARE
        reset = next_midnight(now, self._zone.known) - now if self._zone.known else None
        yield from _allowance(DAILY, calls, left, reset)

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Return the day until the portal's midnight, the ten seconds, or the searches."""
        short = SEARCH if SEARCH in buckets else BURST
        return DAILY if is_daily(reply) else short, (await self.postponed(reply, now)).until

    async def postponed(self, reply: Reply, now: datetime) -> Postponed:
        """Read a reply with one of `hubspot_limits.WAITING`."""
        return wait(reply, now, await self._zone.read() if is_daily(reply) else UTC)

    async def prepare(self) -> None:
        """Ask for the zone while the day still has calls: a used-up day refuses the question."""
        if self._is_low:
            await self._zone.read()


def _allowance(
    bucket: str, calls: int | None, left: int | None, reset: timedelta | None = None
) -> Iterator[Allowance]:
    if calls is not None or left is not None:
        yield Allowance(bucket, calls, left, reset)


def _number(reply: Reply, name: str) -> int | None:
    return count(reply.headers.get(_HEADER + name))
