"""What an outcome means for the queue: the one place that matches on outcomes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    Synced,
    Unknown,
)
from crmsync_server.store.claimed import Attempt
from crmsync_server.store.queue import Finished
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from crmsync_server.sync.storable import storable

# A CRM that asks to wait until a moment that is over would be asked again without end.
LEAST_WAIT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed delivery is tried again, and how long it waits.

    max_retries: failures forgiven; the next one ends as an error.
    base, cap: the longest wait before the first retry, and before any; it doubles each time.
    max_rescues: how often a delivery may lose its server before it ends as an error.
    """

    max_retries: int = 5
    base: timedelta = timedelta(seconds=2)
    cap: timedelta = timedelta(minutes=10)
    max_rescues: int = 10
    jitter: Callable[[], float] = random.random

    def wait(self, retry_count: int) -> timedelta:
        """Return how long to wait before retry number retry_count + 1: full jitter."""
        longest: timedelta = min(self.cap, self.base * 2 ** min(retry_count, 30))
        return longest * self.jitter()

    def drawn(self, max_retries: int | None = None) -> "RetryPolicy":
        """Return this policy with its jitter drawn once, and this max_retries unless it is None.

        What failed as one batch then comes back as one, and not as many small ones.
        """
        share = self.jitter()
        retries = self.max_retries if max_retries is None else max_retries
        return replace(self, jitter=lambda: share, max_retries=retries)


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with an attempt, as the standing and the history keep it."""

    code: str
    message: str
    request_id: str = ""


def judge(
    row: Attempt, outcome: Outcome, policy: RetryPolicy, now: datetime, *, idempotent: bool
) -> Finished:
    """Turn the outcome of a claimed row's attempt into what the queue records.

    idempotent: whether the CRM may be given the record again after an unknown outcome.
    """
    match outcome:
        case Synced():
            return _removed(row, outcome) if row.removing else _synced(row, outcome)
        case Skipped():
            return _skipped(row, outcome)
        case Rejected(code, message, request_id):
            return _error(row, AttemptOutcome.REJECTED, Fault(code, message, request_id))
        case Postponed(until, code, message):
            due = max(until, now + LEAST_WAIT)
            return _later(row, AttemptOutcome.POSTPONED, due, Fault(code, message))
        case Retry(code, message, after, request_id):
            fault = Fault(code, message, request_id)
            due = max(now + policy.wait(row.retry_count), after or now)
            return _again(row, AttemptOutcome.RETRY, fault, policy, due)
        case Unknown():
            return _unknown(row, outcome, policy, now, idempotent=idempotent or row.removing)
        case _:
            text = f"an accepted delivery has no verdict yet: {outcome}"
            raise TypeError(text)


def release(row: Attempt, due: datetime, code: str, why: str) -> Finished:
    """Give an attempt back to the queue that nothing was sent for."""
    return _later(row, AttemptOutcome.RELEASED, due, Fault(code, why))


def expire(row: Attempt, policy: RetryPolicy, now: datetime, *, idempotent: bool) -> Finished:
    """End an attempt whose server is gone: back to the queue, or an error after too many.

    At once an error where the CRM must not be given a record twice: it may have been sent.
    """
    fault = Fault("LEASE_EXPIRED", "the server that worked on it stopped without an outcome")
    if row.rescue_count >= policy.max_rescues or not (idempotent or row.removing):
        return _error(row, AttemptOutcome.LEASE_EXPIRED, fault)
    return _later(row, AttemptOutcome.LEASE_EXPIRED, now, fault)


def _synced(row: Attempt, outcome: Synced) -> Finished:
    return Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.COMPLETE,
        AttemptOutcome.SYNCED,
        crm_contact_id=storable(outcome.crm_contact_id),
        request_id=(storable(outcome.request_id) or None) if outcome.request_id else None,
    )


def _removed(row: Attempt, outcome: Synced) -> Finished:
    synced = _synced(row, outcome)
    return synced._replace(
        status=SyncStatus.SELECTED, crm_contact_id=synced.crm_contact_id or None, removal=True
    )


def _skipped(row: Attempt, outcome: Skipped) -> Finished:
    return Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.SKIPPED,
        AttemptOutcome.SKIPPED,
        skip_reason=outcome.reason,
        error_message=storable(outcome.message) or None,
        removal=row.removing or None,
    )


def _unknown(
    row: Attempt, outcome: Unknown, policy: RetryPolicy, now: datetime, *, idempotent: bool
) -> Finished:
    fault = Fault("UNKNOWN_OUTCOME", outcome.message, outcome.request_id)
    if not idempotent:
        return _error(row, AttemptOutcome.UNKNOWN, fault)
    if outcome.ours:
        return _later(row, AttemptOutcome.UNKNOWN, now + LEAST_WAIT, fault)
    due = now + policy.wait(row.retry_count)
    return _again(row, AttemptOutcome.UNKNOWN, fault, policy, due)


def _again(
    row: Attempt, kind: AttemptOutcome, fault: Fault, policy: RetryPolicy, due: datetime
) -> Finished:
    if row.retry_count >= policy.max_retries:
        return _error(row, kind, fault)
    return _later(row, kind, due, fault)._replace(retry_count=row.retry_count + 1)


def _later(row: Attempt, kind: AttemptOutcome, due: datetime, fault: Fault) -> Finished:
    error = _error(row, kind, fault)
    return error._replace(status=SyncStatus.QUEUED, due_time=due)


def _error(row: Attempt, kind: AttemptOutcome, fault: Fault) -> Finished:
    # One text that Postgres cannot keep would sink the whole batch.
    return Finished(
        row.contact_id,
        row.attempt,
        SyncStatus.ERROR,
        kind,
        retry_count=row.retry_count,
        error_code=storable(fault.code),
        error_message=storable(fault.message),
        request_id=storable(fault.request_id) or None,
        removal=row.removing or None,
    )
