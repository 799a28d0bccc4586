"""How each part of a synchronization does, judged by what is kept of it, and the thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc.deliveries import Counts
from crmsync_server.store.config import PAUSED
from crmsync_server.store.health import ConnectionHealth

HEALTHY, DEGRADED = pb.HEALTH_STATE_HEALTHY, pb.HEALTH_STATE_DEGRADED
UNHEALTHY, UNKNOWN = pb.HEALTH_STATE_UNHEALTHY, pb.HEALTH_STATE_UNKNOWN
SHARE, SECONDS = pb.FIGURE_UNIT_SHARE, pb.FIGURE_UNIT_SECONDS
COUNT = pb.FIGURE_UNIT_COUNT

REFUSED, MISCONFIGURED = "CREDENTIALS_REFUSED", "MISCONFIGURED"
CIRCUIT_OPEN, QUOTA_EXHAUSTED = "CIRCUIT_OPEN", "QUOTA_EXHAUSTED"
OK, NO_DATA, THRESHOLD = "OK", "NO_DATA", "THRESHOLD"

_ENOUGH = 10  # attempts; the rate of fewer says nothing
_LONG = 3600.0  # seconds; what is shorter is a window of a rate, which full speed uses up


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a number is no good; where degraded is the larger one, below it."""

    degraded: float
    unhealthy: float


UNANSWERED = Limits(0.05, 0.5)
SUCCESS = Limits(0.95, 0.8)
AGE = Limits(300, 3600)
USED = Limits(0.9, 1.0)
OPEN = Limits(100, 1000)
PAUSE = Limits(0, 3600)


class Bucket(Protocol):
    """What is left of an allowance; see sync.forecast."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def calls(self) -> int:
        """How many calls it allows in a period."""

    @property
    def period(self) -> float:
        """How many seconds a period has."""

    @property
    def left(self) -> int:
        """How many of the calls are left."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one CRM.

    row: of store.statistics.standings. hour, day: what the last one brought.
    conflicts: how many are open.
    """

    crm: str
    row: sa.Row[Any]
    hour: Counts
    day: Counts
    buckets: Sequence[Bucket]
    conflicts: int

    @property
    def paused_with(self) -> str:
        """Why the lane is paused, for programs; empty where it is not."""
        return (self.row.pause_code or PAUSED) if self.row.paused else ""

    def age(self, moment: datetime | None) -> float:
        """Return the seconds since a moment; 0 where there is none."""
        return 0.0 if moment is None else max(0.0, (self.row.now - moment).total_seconds())


def figure(
    name: str, value: float, unit: pb.FigureUnit.ValueType, limits: Limits | None = None
) -> pb.Figure:
    """Return a number with its name, unit and thresholds."""
    told = pb.Figure(name=name, value=value, unit=unit)
    if limits is not None:
        told.degraded_at, told.unhealthy_at = limits.degraded, limits.unhealthy
    return told


def state_of(value: float, limits: Limits) -> pb.HealthState.ValueType:
    """Return what a number makes of its component."""
    sign = 1 if limits.unhealthy >= limits.degraded else -1
    if sign * value >= sign * limits.unhealthy:
        return UNHEALTHY
    return DEGRADED if sign * value >= sign * limits.degraded else HEALTHY


def connectivity(known: Known) -> pb.ComponentHealth:
    """Judge whether the CRM answers."""
    row = known.row
    if known.paused_with == CIRCUIT_OPEN:
        return _paused(known, UNHEALTHY)
    if row.health == ConnectionHealth.UNREACHABLE:
        return _told(UNHEALTHY, f"the CRM was not reached: {row.health_reason}", row.health)
    hour = known.hour
    share = hour.unanswered / hour.sent if hour.sent else 0.0
    found = figure("unanswered_share", share, SHARE, UNANSWERED)
    if hour.sent >= _ENOUGH:
        told = f"{share:.1%} of {hour.sent} attempts in the last hour got no answer, or a fault"
        return _judged(told, found)
    if hour.calls > 0 or row.health == ConnectionHealth.HEALTHY:
        told = f"the CRM answers; {hour.sent} attempts in the last hour"
        return _told(HEALTHY, told, OK, found if hour.sent else None)
    return _told(UNKNOWN, "it was not called in the last hour, and its connection was not checked")


def token(known: Known) -> pb.ComponentHealth:
    """Judge whether the CRM takes the credentials."""
    row = known.row
    if known.paused_with in {REFUSED, MISCONFIGURED}:
        return _paused(known, UNHEALTHY)
    if row.health == ConnectionHealth.UNHEALTHY:
        return _told(UNHEALTHY, f"the credentials do not hold: {row.health_reason}", row.health)
    if row.token_expire_time is not None:
        return _of_expiry(known, row.token_expire_time)
    if row.health == ConnectionHealth.HEALTHY or known.hour.synced:
        return _told(HEALTHY, "the CRM takes the credentials", OK)
    return _told(UNKNOWN, "nothing was delivered in the last hour, and nobody checked them")


def _of_expiry(known: Known, until: datetime) -> pb.ComponentHealth:
    left = (until - known.row.now).total_seconds()
    found = figure("token_seconds_left", left, SECONDS)
    moment = until.isoformat(timespec="seconds")
    if left > 0:
        return _told(HEALTHY, f"the access token holds until {moment}", OK, found)
    told = f"the access token held until {moment}; the next call renews it"
    if known.age(known.row.due_time) >= AGE.degraded:
        return _told(DEGRADED, f"{told}, and none was made", "TOKEN_EXPIRED", found)
    return _told(HEALTHY, told, OK, found)


def performance(known: Known) -> pb.ComponentHealth:
    """Judge whether deliveries run, and succeed."""
    if known.row.paused:
        endless = known.row.resume_time is None
        age = known.age(known.row.pause_time)
        return _paused(known, UNHEALTHY if endless else state_of(age, PAUSE))
    counts, time = known.hour, "hour"
    if counts.ended < _ENOUGH:
        counts, time = known.day, "day"
    if (rate := counts.success_rate) is None:
        return _told(UNKNOWN, "nothing was delivered in the last day")
    told = f"{rate:.1%} of {counts.ended} deliveries in the last {time} succeeded"
    return _judged(told, figure("success_rate", rate, SHARE, SUCCESS))


def queue_age(known: Known) -> pb.ComponentHealth:
    """Judge whether the queue moves."""
    age = known.age(known.row.due_time)
    told = f"the oldest delivery that is due has been for {age:.0f} s" if age else "nothing is due"
    return _judged(told, figure("queue_age", age, SECONDS, AGE))


def quota(known: Known) -> pb.ComponentHealth:
    """Judge what is left of the allowance; windows of less than an hour are left out."""
    buckets = [one for one in known.buckets if one.period >= _LONG and one.calls > 0]
    if known.paused_with == QUOTA_EXHAUSTED:
        return _paused(known, UNHEALTHY)
    if not buckets:
        return _told(HEALTHY, "the CRM has no limit of an hour or more", OK)
    least = min(buckets, key=lambda one: one.left / one.calls)
    used = 1 - least.left / least.calls
    told = f"{least.left} of {least.calls} calls are left ({least.name})"
    return _judged(told, figure("quota_used", used, SHARE, USED))


def conflicts(known: Known) -> pb.ComponentHealth:
    """Judge how many conflicts wait."""
    told = f"{known.conflicts} conflicts wait for somebody" if known.conflicts else "none is open"
    return _judged(told, figure("open_conflicts", known.conflicts, COUNT, OPEN))


def notices(known: Known) -> pb.ComponentHealth:
    """Judge whether what webhooks tell is read."""
    age = known.age(known.row.notice_due_time)
    told = f"the oldest notice that is due has been for {age:.0f} s" if age else "no notice is due"
    return _judged(told, figure("notice_age", age, SECONDS, AGE))


Rule = Callable[[Known], pb.ComponentHealth]

RULES: Sequence[tuple[pb.HealthComponent.ValueType, Rule]] = (
    (pb.HEALTH_COMPONENT_API_CONNECTIVITY, connectivity),
    (pb.HEALTH_COMPONENT_TOKEN_STATUS, token),
    (pb.HEALTH_COMPONENT_SYNC_PERFORMANCE, performance),
    (pb.HEALTH_COMPONENT_QUEUE_AGE, queue_age),
    (pb.HEALTH_COMPONENT_QUOTA, quota),
    (pb.HEALTH_COMPONENT_CONFLICTS, conflicts),
    (pb.HEALTH_COMPONENT_NOTICES, notices),
)


def _judged(reason: str, found: pb.Figure) -> pb.ComponentHealth:
    state = state_of(found.value, Limits(found.degraded_at, found.unhealthy_at))
    if state == HEALTHY:
        return _told(state, reason, OK, found)
    limit = found.unhealthy_at if state == UNHEALTHY else found.degraded_at
    way = "at most" if found.unhealthy_at < found.degraded_at else "at least"
    bound = f"{limit:.0%}" if found.unit == SHARE else f"{limit:g}"
    if found.unit == SECONDS:
        bound += " s"
    return _told(state, f"{reason}; {way} {bound} is {_word(state)}", THRESHOLD, found)


def _paused(known: Known, state: pb.HealthState.ValueType) -> pb.ComponentHealth:
    row = known.row
    who = f" by {row.pauser}" if row.pauser else ""
    why = f": {row.pause_message}" if row.pause_message else ""
    told = f"deliveries are paused{who} since {row.pause_time.isoformat(timespec='seconds')}{why}"
    limits = None if row.resume_time is None else PAUSE
    found = figure("paused_seconds", known.age(row.pause_time), SECONDS, limits)
    return _told(state, told, known.paused_with, found)


def _told(
    state: pb.HealthState.ValueType,
    reason: str,
    code: str = NO_DATA,
    found: pb.Figure | None = None,
) -> pb.ComponentHealth:
    return pb.ComponentHealth(state=state, reason=reason, code=code, figure=found)


def _word(state: pb.HealthState.ValueType) -> str:
    return pb.HealthState.Name(state).removeprefix("HEALTH_STATE_")
