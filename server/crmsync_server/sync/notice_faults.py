"""Why notices are put off, for how long, and when they are given up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crmsync_server.crm.adapter import QuotaExhaustedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Trouble
from crmsync_server.store.notice import Later
from crmsync_server.sync.run import Desk
from crmsync_server.sync.storable import storable
from crmsync_server.sync.verdict import LEAST_WAIT

INTERNAL = "INTERNAL"

# However long a CRM is away or refuses us: after that a reading of what changed has to do.
_LONGEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why notices are put off.

    after: not before this time; None leaves it to the backoff.
    counted: whether it is a try. retries: how often in a row it is forgiven; None means always.
    """

    code: str
    message: str
    after: datetime | None = None
    counted: bool = True
    retries: int | None = None


def fault_of(trouble: Trouble, retries: int) -> Fault:
    """Return what a source's trouble is to notices: their own fault only where it was a refusal."""
    code, message = storable(trouble.code), storable(trouble.message)
    match trouble:
        case Postponed(until):
            return Fault(code, message, after=until, counted=False)
        case Retry(after=after):
            return Fault(code, message, after=after)
        case Rejected():
            return Fault(code, message, retries=retries)


def exhausted(quota: QuotaExhaustedError) -> Fault:
    """Return the fault of an allowance that is used up."""
    return Fault("QUOTA_EXHAUSTED", str(quota), after=quota.until, counted=False)


def is_over(notice: sa.Row[Any], fault: Fault) -> bool:
    """Tell whether a claimed notice is given up."""
    if notice.age > _LONGEST:
        return True
    return fault.retries is not None and _tries(notice, fault) >= fault.retries


def later_of(notice: sa.Row[Any], fault: Fault, desk: Desk) -> Later:
    """Return when a claimed notice is due again."""
    wait = timedelta(0)
    if fault.after is not None:
        wait = max(fault.after - desk.clock(), LEAST_WAIT)
    if fault.counted:
        wait = max(wait, desk.policy.wait(_tries(notice, fault)), LEAST_WAIT / 10)
    return Later(notice.key, wait, fault.code, fault.counted)


def _tries(notice: sa.Row[Any], fault: Fault) -> int:
    """Return how often in a row it was put off for this reason already."""
    return int(notice.retry_count) if notice.outcome == fault.code else 0
