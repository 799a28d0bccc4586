"""What hours have brought, added up and as messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from itertools import zip_longest
from typing import Any, Self

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.store.response_times import percentile


@dataclass(frozen=True, slots=True)
class Counts:
    """What some hours have brought; the names are those of the statements (store.statistics).

    again: attempts that ended neither well nor as an error. unanswered: those of them that the CRM
    did not answer, or with a fault that may pass.
    """

    synced: int = 0
    skipped: int = 0
    errors: int = 0
    again: int = 0
    unanswered: int = 0
    calls: int = 0
    call_records: int = 0
    call_seconds: float = 0.0
    session_records: int = 0
    notice_records: int = 0
    conflicts_opened: int = 0
    conflicts_resolved: int = 0
    conflicts_settled: int = 0

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        """Read a row of totals or series."""
        return cls(**{name: getattr(row, name) for name in _NAMES})

    @classmethod
    def sum(cls, counts: Iterable[Self]) -> Self:
        """Add up."""
        rows = [[getattr(one, name) for name in _NAMES] for one in counts]
        return cls(*map(sum, zip(*rows, strict=True))) if rows else cls()

    @property
    def sent(self) -> int:
        """How many attempts there were that did not skip their contact."""
        return self.synced + self.errors + self.again

    @property
    def ended(self) -> int:
        """How many attempts ended well or as an error."""
        return self.synced + self.errors

    @property
    def success_rate(self) -> float | None:
        """Which share of these ended well; None without any."""
        return self.synced / self.ended if self.ended else None

    @property
    def response_time(self) -> float | None:
        """How many seconds a call took on average; None without calls."""
        return self.call_seconds / self.calls if self.calls else None

    @property
    def pulled(self) -> int:
        """How many records were read."""
        return self.session_records + self.notice_records


_NAMES = [field.name for field in fields(Counts)]


def deliveries(counts: Counts) -> pb.Deliveries:
    """Turn counts into what is told of attempts."""
    return pb.Deliveries(
        synced=counts.synced,
        skipped=counts.skipped,
        errors=counts.errors,
        again=counts.again,
        success_rate=counts.success_rate,
        calls=counts.calls,
        average_response_time=duration(counts.response_time),
    )


def readings(counts: Counts) -> pb.Readings:
    """Turn counts into what is told of readings."""
    return pb.Readings(
        session_records=counts.session_records,
        notice_records=counts.notice_records,
        conflicts_opened=counts.conflicts_opened,
        conflicts_resolved=counts.conflicts_resolved,
        conflicts_settled=counts.conflicts_settled,
    )


def response_times(counts: Counts, steps: Sequence[int]) -> pb.ResponseTimes:
    """Turn counts and their histogram into what is told of response times."""
    return pb.ResponseTimes(
        calls=counts.calls,
        records=counts.call_records,
        average=duration(counts.response_time),
        p50=duration(percentile(steps, 0.5)),
        p90=duration(percentile(steps, 0.9)),
        p99=duration(percentile(steps, 0.99)),
    )


def added(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Add up histograms of different lengths."""
    return [sum(counts) for counts in zip_longest(*histograms, fillvalue=0)]


def duration(seconds: float | None) -> Duration | None:
    """Return seconds as a Duration; None leaves the field unset."""
    if seconds is None:
        return None
    told = Duration()
    told.FromTimedelta(timedelta(seconds=seconds))
    return told
