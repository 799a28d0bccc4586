"""The health of an organization's synchronization, put together from that of its parts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.deliveries import Counts, deliveries
from crmsync_server.rpc.health_rules import HEALTHY, RULES, UNKNOWN, Bucket, Known
from crmsync_server.rpc.spans import Grain
from crmsync_server.store import conflict_list, statistics
from crmsync_server.store.db import Database
from crmsync_server.store.statistics import Span

Allowances = Callable[[str, str], Awaitable[Sequence[Bucket]]]
"""Tells what is left of each allowance of (org_id, crm)."""

_NO_CRM = "no CRM is in use"
_DAY = timedelta(hours=24)
# The worst comes last; what is not known counts only where nothing is.
_ORDER = (UNKNOWN, HEALTHY, pb.HEALTH_STATE_DEGRADED, pb.HEALTH_STATE_UNHEALTHY)


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks at what is kept of CRMs; asks none of them anything."""

    database: Database
    allowances: Allowances
    clock: Callable[[], datetime]

    async def known(self, org_id: str, crms: Sequence[str]) -> Sequence[Known]:
        """Return what is known of each CRM, in the order of their ids."""
        # Before a connection is held: finding out may need another one.
        buckets = {crm: await self.allowances(org_id, crm) for crm in crms}
        now = self.clock()
        hour = Grain.HOUR.begin(now)
        async with self.database.org(org_id) as connection:
            rows = await statistics.standings(connection, org_id, crms)
            hours = await statistics.totals(
                connection, Span(org_id, crms, hour - Grain.HOUR.length, now)
            )
            days = await statistics.totals(connection, Span(org_id, crms, hour - _DAY, now))
            open_counts = await conflict_list.open_counts(connection, org_id)
        by_hour, by_day = _counts(hours), _counts(days)
        return [
            Known(
                crm=row.crm,
                row=row,
                hour=by_hour.get(row.crm, Counts()),
                day=by_day.get(row.crm, Counts()),
                buckets=buckets[row.crm],
                conflicts=open_counts.get(row.crm, 0),
            )
            for row in rows
        ]


def of_all(known: Sequence[Known], now: datetime) -> pb.SyncHealth:
    """Return how the synchronization with these CRMs does."""
    found = [of_crm(one) for one in known]
    worst = [
        _worst_of([one.components[place] for one in found], component)
        for place, (component, _) in enumerate(RULES)
    ]
    decisive = _worst(found)
    return pb.SyncHealth(
        state=decisive.state if decisive else UNKNOWN,
        reason=f"{decisive.crm}: {decisive.reason}" if decisive else _NO_CRM,
        components=worst,
        crms=found,
        last_hour=deliveries(Counts.sum(one.hour for one in known)),
        last_day=deliveries(Counts.sum(one.day for one in known)),
        check_time=timestamp(now),
    )


def of_crm(known: Known) -> pb.CrmHealth:
    """Return how the synchronization with one CRM does."""
    components = []
    for component, rule in RULES:
        found = rule(known)
        found.component, found.crm = component, known.crm
        components.append(found)
    decisive = max(components, key=lambda one: _ORDER.index(one.state))
    return pb.CrmHealth(
        crm=known.crm,
        state=decisive.state,
        reason="all is well" if decisive.state == HEALTHY else decisive.reason,
        components=components,
        last_hour=deliveries(known.hour),
        last_day=deliveries(known.day),
    )


def _worst_of(
    found: Sequence[pb.ComponentHealth], component: pb.HealthComponent.ValueType
) -> pb.ComponentHealth:
    if not found:
        return pb.ComponentHealth(
            component=component, state=UNKNOWN, reason=_NO_CRM, code="NO_DATA"
        )
    return max(found, key=lambda one: _ORDER.index(one.state))


def _worst(found: Sequence[pb.CrmHealth]) -> pb.CrmHealth | None:
    return max(found, key=lambda one: _ORDER.index(one.state), default=None)


def _counts(rows: Sequence[sa.Row[Any]]) -> Mapping[str, Counts]:
    return {row.crm: Counts.of(row) for row in rows}
