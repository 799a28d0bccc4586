"""What to do: each recommendation follows from a figure that has passed its threshold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crmsync.v1 import analytics_pb2 as pb
from crmsync_server.rpc import health_rules as rules
from crmsync_server.rpc.deliveries import Counts
from crmsync_server.rpc.health_rules import COUNT, SECONDS, SHARE, Known, Limits, figure
from crmsync_server.rpc.performance import Period
from crmsync_server.store.config import PAUSED
from crmsync_server.store.response_times import percentile

_FEWEST = 20  # attempts or calls in each period; what fewer tell may be chance
_FELL = 0.05
_SLOWER = 1.5
_SLOW = 0.5  # seconds; who is quicker than that has nothing to do
_MOSTLY = 0.5
_GUIDES = "docs/how-to/"


@dataclass(frozen=True, slots=True)
class Seen:
    """What recommendations follow from.

    known: how each CRM in use stands now. failed: how many contacts have failed there, by CRM.
    """

    period: Period
    previous: Period
    known: Sequence[Known]
    failed: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Way:
    """What helps."""

    code: str
    rpc: str
    guide: str

    def told(self, message: str, found: pb.Figure, crm: str) -> pb.Recommendation:
        return pb.Recommendation(
            code=self.code,
            message=message,
            figure=found,
            crm=crm,
            rpc=self.rpc,
            guide=_GUIDES + self.guide,
        )


_RESUME = _Way("RESUME_CRM", "AdminService.ResumeCrm", "pause-a-crm.md")
_CREDENTIALS = _Way(
    "REPLACE_CREDENTIALS", "ConnectionService.UpdateConnection", "open-a-closed-lane.md"
)
_CHECK = _Way("CHECK_CONNECTION", "ConnectionService.ValidateConnection", "open-a-closed-lane.md")
_RETRY = _Way("RETRY_FAILURES", "SyncService.RetryAllFailures", "retry-what-failed.md")
_TOP_ERROR = _Way("FIX_TOP_ERROR", "SyncService.ListSyncFailures", "retry-what-failed.md")
_FIND_OUT = _Way(
    "FIND_OUT_WHY", "SyncService.ListSyncFailures", "find-out-why-a-contact-is-not-synced.md"
)
_QUEUE = _Way(
    "FIND_OUT_WHY_THE_QUEUE_STANDS",
    "SyncService.ListAttempts",
    "find-out-why-a-contact-is-not-synced.md",
)
_PLAN = _Way("PLAN_WITHIN_QUOTA", "AdminService.UpdateCrmConfig", "plan-within-a-quota.md")
_CONFLICTS = _Way("RESOLVE_CONFLICTS", "AnalyticsService.ListConflicts", "resolve-conflicts.md")
_NOTICES = _Way("CHECK_WEBHOOKS", "ConnectionService.ValidateConnection", "receive-webhooks.md")
_SLOWED = _Way("CHECK_RESPONSE_TIMES", "AnalyticsService.GetPerformance", "read-the-report.md")


def recommendations(seen: Seen) -> Sequence[pb.Recommendation]:
    """Return what to do, the most urgent first; nothing where nothing follows."""
    urgent = [one for known in seen.known for one in _of_lane(known)]
    since = [one for known in seen.known for one in _of_period(seen, known.crm)]
    waiting = [one for known in seen.known for one in _of_what_waits(seen, known)]
    return [*urgent, *since, *waiting]


def _of_lane(known: Known) -> Iterator[pb.Recommendation]:
    """Yield what would let deliveries go on."""
    code, crm = known.paused_with, known.crm
    paused = figure("paused_seconds", known.age(known.row.pause_time), SECONDS, rules.PAUSE)
    told = f"{crm} has been paused for {paused.value:.0f} s ({code}"
    told += f": {known.row.pause_message})" if known.row.pause_message else ")"
    if code == PAUSED:
        yield _RESUME.told(f"{told}. Resume it when what it was paused for is done.", paused, crm)
    elif code in {rules.REFUSED, rules.MISCONFIGURED}:
        yield _CREDENTIALS.told(f"{told}. Give the connection credentials that hold.", paused, crm)
    elif code == rules.CIRCUIT_OPEN:
        yield _CHECK.told(f"{told}. Find out whether the CRM can be reached.", paused, crm)
    queued = rules.queue_age(known)
    if not code and queued.state == rules.UNHEALTHY:
        yield _QUEUE.told(
            f"{crm}: {queued.reason}. Look at the attempts of what waits.", queued.figure, crm
        )
    used = rules.quota(known)
    if used.state in {rules.DEGRADED, rules.UNHEALTHY}:
        told = f"{crm}: {used.reason}. Spread sessions over days, or raise the allowance."
        yield _PLAN.told(told, used.figure, crm)


def _of_period(seen: Seen, crm: str) -> Iterator[pb.Recommendation]:
    """Yield what has become worse, or goes wrong for one reason."""
    counts = seen.period.counts.get(crm, Counts())
    earlier = seen.previous.counts.get(crm, Counts())
    rate, before = counts.success_rate or 0.0, earlier.success_rate or 0.0
    if min(counts.ended, earlier.ended) >= _FEWEST and before - rate >= _FELL:
        bound = Limits(before - _FELL, before - 2 * _FELL)
        told = f"{crm}: the success rate fell from {before:.1%} to {rate:.1%}. Find out why."
        yield _FIND_OUT.told(told, figure("success_rate", rate, SHARE, bound), crm)
    shares = seen.period.shares(crm, most=1)
    if shares and shares[0].errors >= _FEWEST and shares[0].share >= _MOSTLY:
        top = shares[0]
        told = (
            f"{crm}: {top.share:.0%} of what did not succeed ended with {top.code}, {top.attempts}"
            f" attempts, {top.errors} of them errors. Mend its cause, then retry what failed."
        )
        bound = Limits(_MOSTLY, 1.0)
        yield _TOP_ERROR.told(told, figure("top_error_share", top.share, SHARE, bound), crm)
    yield from _of_speed(seen, crm)


def _of_speed(seen: Seen, crm: str) -> Iterator[pb.Recommendation]:
    steps, earlier = seen.period.steps.get(crm, ()), seen.previous.steps.get(crm, ())
    if min(sum(steps), sum(earlier)) < _FEWEST:
        return
    now, before = percentile(steps, 0.9) or 0.0, percentile(earlier, 0.9) or 0.0
    if now >= _SLOW and now >= _SLOWER * before:
        told = (
            f"{crm}: 90 of 100 calls were answered within {now:.2f} s, and {before:.2f} s before."
            " See which hours are slow; smaller batches or fewer calls at once may help."
        )
        bound = Limits(_SLOWER * before, 2 * _SLOWER * before)
        yield _SLOWED.told(told, figure("response_time_p90", now, SECONDS, bound), crm)


def _of_what_waits(seen: Seen, known: Known) -> Iterator[pb.Recommendation]:
    """Yield what waits for somebody."""
    crm = known.crm
    if failed := seen.failed.get(crm, 0):
        told = f"{failed} contacts have failed at {crm}. See why, and retry them."
        yield _RETRY.told(told, figure("failed_contacts", failed, COUNT, Limits(1, 1)), crm)
    if known.conflicts:
        told = f"{known.conflicts} conflicts with {crm} wait for somebody. Resolve them."
        found = figure("open_conflicts", known.conflicts, COUNT, Limits(1, rules.OPEN.unhealthy))
        yield _CONFLICTS.told(told, found, crm)
    waiting = rules.notices(known)
    if waiting.state in {rules.DEGRADED, rules.UNHEALTHY}:
        told = f"{crm}: {waiting.reason}. Find out whether the CRM can be read."
        yield _NOTICES.told(told, waiting.figure, crm)
