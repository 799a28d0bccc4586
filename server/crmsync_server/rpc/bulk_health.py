"""How bulk operations do, told with the figures behind it."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration

from crmsync.v1 import bulk_record_pb2 as pb

_GOOD_SHARE, _BAD_SHARE = 0.95, 0.5
_OLD, _OLDEST = timedelta(minutes=5), timedelta(hours=1)

_HEALTHY = pb.BULK_HEALTH_STATUS_HEALTHY
_DEGRADED = pb.BULK_HEALTH_STATUS_DEGRADED
_UNHEALTHY = pb.BULK_HEALTH_STATUS_UNHEALTHY


def health(rows: Sequence[sa.Row[Any]]) -> pb.BulkHealth:
    """Tell how bulk operations do, from rows of store.bulk.health."""
    crms = [_crm(row) for row in rows]
    return pb.BulkHealth(status=max((one.status for one in crms), default=_HEALTHY), crms=crms)


def _crm(row: sa.Row[Any]) -> pb.CrmBulkHealth:
    ended = int(row.synced + row.errors)
    share = float(row.synced) / ended if ended else None
    verdicts = list(_verdicts(row, share))
    told = pb.CrmBulkHealth(
        crm=row.crm,
        status=max((status for status, _ in verdicts), default=_HEALTHY),
        reasons=[why for _, why in verdicts],
        open_sessions=row.open_sessions,
        pending=int(row.pending),
        recent_sessions=row.recent_sessions,
        synced=int(row.synced),
        skipped=int(row.skipped),
        errors=int(row.errors),
        cancelled=int(row.cancelled),
        success_rate=share,
        records_per_second=row.records_per_second,
        pause_code=row.pause_code or "",
    )
    if row.queue_age is not None:
        age = Duration()
        age.FromTimedelta(row.queue_age)
        told.queue_age.CopyFrom(age)
    return told


def _verdicts(
    row: sa.Row[Any], share: float | None
) -> Iterator[tuple[pb.BulkHealthStatus.ValueType, str]]:
    if share is not None and share < _GOOD_SHARE:
        status = _UNHEALTHY if share < _BAD_SHARE else _DEGRADED
        yield status, f"{share:.1%} of what ended in the last 24 hours was confirmed"
    if row.queue_age is not None and row.queue_age > _OLD:
        status = _UNHEALTHY if row.queue_age > _OLDEST else _DEGRADED
        minutes = row.queue_age.total_seconds() / 60
        yield status, f"a contact has been due for {minutes:.0f} minutes"
    if row.pause_code:
        yield _DEGRADED, f"the lane stands still: {row.pause_code}"
