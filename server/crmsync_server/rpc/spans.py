"""Which time a request for statistics is about: whole hours, days or weeks, UTC."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.convert import moment_of
from crmsync_server.store.statistics import Span

_RULE = "timestamp.span"
# So early that what is asked for beside it, such as the time before, is still a time.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class Grain(StrEnum):
    """How long the parts of a time are, as Postgres calls them."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    @property
    def length(self) -> timedelta:
        """Return how long one is."""
        return timedelta(**{f"{self}s": 1})

    def begin(self, moment: datetime) -> datetime:
        """Return when the part began that a moment is in."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is Grain.HOUR:
            return hour
        day = hour.replace(hour=0)
        return day if self is Grain.DAY else day - timedelta(days=day.weekday())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of time.

    usual: how long the time is where it does not say. most: how long it may be.
    """

    start: datetime | None
    end: datetime | None
    usual: timedelta
    most: timedelta

    @classmethod
    def of(
        cls, start: Timestamp | None, end: Timestamp | None, usual: timedelta, most: timedelta
    ) -> "Asked":
        """Read what a request says; None where it says nothing.

        Raises InvalidRequestError for what is no time.
        """
        return cls(
            None if start is None else moment_of("start_time", start),
            None if end is None else moment_of("end_time", end),
            usual,
            most,
        )


def span_of(
    asked: Asked, org_id: str, crms: Sequence[str], now: datetime, grain: Grain = Grain.HOUR
) -> Span:
    """Return the parts that a time touches, the last one ending at `now` at the latest.

    Raises:
        InvalidRequestError: the time is empty, too long, or before 1970.
    """
    _refuse_early("start_time", asked.start)
    _refuse_early("end_time", asked.end)
    end = min(asked.end or now, now)
    start = end - asked.usual if asked.start is None else asked.start
    if start >= end:
        told = f"must be before {'now' if end == now else 'end_time'}, {end.isoformat()}"
        raise InvalidRequestError([Violation("start_time", _RULE, told)])
    if end - start > asked.most:
        told = f"must be at most {asked.most.days} days before end_time, {end.isoformat()}"
        raise InvalidRequestError([Violation("start_time", _RULE, told)])
    last = grain.begin(end)
    whole = last if last == end else last + grain.length
    return Span(org_id, crms, grain.begin(start), min(whole, now))


def _refuse_early(field: str, moment: datetime | None) -> None:
    if moment is not None and moment < _FIRST:
        told = f"must not be before {_FIRST.isoformat()}"
        raise InvalidRequestError([Violation(field, _RULE, told)])


def before(span: Span) -> Span:
    """Return the time of the same length, in whole hours, that ends where this one begins."""
    hours = max(1, round((span.end - span.start) / Grain.HOUR.length))
    return replace(span, start=span.start - Grain.HOUR.length * hours, end=span.start)
