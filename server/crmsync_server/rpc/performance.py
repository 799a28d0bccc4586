"""How a period went: throughput, response times and errors, at each CRM and in total."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.deliveries import Counts, added, deliveries, readings, response_times
from crmsync_server.store import statistics
from crmsync_server.store.statistics import Span

_MOST_CODES = 100
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Period:
    """What is kept of a period, by CRM.

    steps: the histograms of response times. errors: rows of store.statistics.errors.
    busiest: the busiest hours; that of None is of all CRMs together.
    """

    span: Span
    counts: Mapping[str, Counts]
    steps: Mapping[str, Sequence[int]]
    errors: Sequence[sa.Row[Any]]
    busiest: Mapping[str | None, sa.Row[Any]]

    @classmethod
    async def read(cls, connection: AsyncConnection, span: Span) -> "Period":
        """Read a period."""
        return cls(
            span,
            {row.crm: Counts.of(row) for row in await statistics.totals(connection, span)},
            await statistics.steps(connection, span),
            await statistics.errors(connection, span),
            await statistics.busiest(connection, span),
        )

    @property
    def total(self) -> Counts:
        """Return what all CRMs together have brought."""
        return Counts.sum(self.counts.values())

    @property
    def all_steps(self) -> Sequence[int]:
        """Return the histogram of all CRMs together."""
        return added(self.steps.values())

    @property
    def crms(self) -> Sequence[str]:
        """Return the CRMs of which anything is kept."""
        return sorted({*self.counts, *(row.crm for row in self.errors)})

    @property
    def hours(self) -> float:
        """Return how long the period is."""
        return (self.span.end - self.span.start).total_seconds() / _HOUR

    def shares(self, crm: str | None = None, most: int = _MOST_CODES) -> Sequence[pb.ErrorShare]:
        """Return why attempts did not succeed, at one CRM or at all, the most frequent first."""
        rows = [row for row in self.errors if crm in {None, row.crm}]
        attempts = _added((row.code, row.attempts) for row in rows)
        errors = _added((row.code, row.errors) for row in rows)
        total = attempts.total()
        found = sorted(attempts, key=lambda code: (-attempts[code], code))[:most]
        return [
            pb.ErrorShare(
                code=code,
                attempts=attempts[code],
                errors=errors[code],
                share=attempts[code] / total,
            )
            for code in found
        ]


def in_total(period: Period, crm: str = "") -> pb.Performance:
    """Return how a period went at all its CRMs together.

    crm: the only one that was asked for, if it was one.
    """
    told = _performance(period, period.total, period.all_steps, None)
    told.crm = crm
    return told


def by_crm(period: Period) -> Sequence[pb.Performance]:
    """Return how a period went at each CRM of which anything is kept."""
    return [
        _performance(period, period.counts.get(crm, Counts()), period.steps.get(crm, ()), crm)
        for crm in period.crms
    ]


def _performance(
    period: Period, counts: Counts, steps: Sequence[int], crm: str | None
) -> pb.Performance:
    return pb.Performance(
        crm=crm or "",
        start_time=timestamp(period.span.start),
        end_time=timestamp(period.span.end),
        deliveries=deliveries(counts),
        throughput=_throughput(period, counts, period.busiest.get(crm)),
        response_times=response_times(counts, steps),
        errors=period.shares(crm),
        readings=readings(counts),
    )


def _throughput(period: Period, counts: Counts, busiest: sa.Row[Any] | None) -> pb.Throughput:
    told = pb.Throughput(records_per_hour=counts.synced / period.hours)
    if busiest is not None:
        told.busiest_records = busiest.synced
        told.busiest_time.FromDatetime(busiest.hour)
    return told


def _added(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for code, count in pairs:
        found[code] += count
    return found
