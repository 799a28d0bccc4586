"""The legal states and moves of a contact sync: one table, used by the schema and its tests.

docs/explanation/states.md draws the same table.
"""

from enum import StrEnum


class SyncStatus(StrEnum):
    """What the user decided for a contact at a CRM, and sees of it."""

    SELECTED = "SELECTED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


class ProcessingStatus(StrEnum):
    """What the system is doing with it."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"


PROCESSING_STATUS_OF: dict[SyncStatus, ProcessingStatus | None] = {
    SyncStatus.SELECTED: None,
    SyncStatus.QUEUED: ProcessingStatus.QUEUED,
    SyncStatus.PROCESSING: ProcessingStatus.PROCESSING,
    SyncStatus.COMPLETE: ProcessingStatus.COMPLETE,
    SyncStatus.ERROR: ProcessingStatus.ERROR,
    SyncStatus.SKIPPED: ProcessingStatus.COMPLETE,
}

LEGAL_MOVES: dict[SyncStatus | None, frozenset[SyncStatus]] = {
    None: frozenset({SyncStatus.QUEUED}),
    SyncStatus.SELECTED: frozenset({SyncStatus.QUEUED}),
    SyncStatus.QUEUED: frozenset({SyncStatus.PROCESSING, SyncStatus.SELECTED}),
    SyncStatus.PROCESSING: frozenset(
        {
            SyncStatus.COMPLETE,
            SyncStatus.ERROR,
            SyncStatus.SKIPPED,
            SyncStatus.QUEUED,
            SyncStatus.SELECTED,
        }
    ),
    SyncStatus.COMPLETE: frozenset({SyncStatus.QUEUED}),
    SyncStatus.ERROR: frozenset({SyncStatus.QUEUED}),
    SyncStatus.SKIPPED: frozenset({SyncStatus.QUEUED}),
}


class SessionState(StrEnum):
    """Where a session stands."""

    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"


class SessionKind(StrEnum):
    """What opened a session."""

    QUEUE_CONTACT = "QUEUE_CONTACT"
    BULK_QUEUE_CONTACTS = "BULK_QUEUE_CONTACTS"
    QUEUE_ALL_CONTACTS = "QUEUE_ALL_CONTACTS"
    RETRY_CONTACT = "RETRY_CONTACT"
    RETRY_ALL_FAILURES = "RETRY_ALL_FAILURES"
    RUN_SCHEDULE = "RUN_SCHEDULE"


class ItemOutcome(StrEnum):
    """What an item of a session ended in; an item without one is pending."""

    SYNCED = "SYNCED"
    SKIPPED = "SKIPPED"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"


class AttemptOutcome(StrEnum):
    """What an attempt ended in, as the history keeps it."""

    SYNCED = "SYNCED"
    SKIPPED = "SKIPPED"
    REJECTED = "REJECTED"
    POSTPONED = "POSTPONED"
    RETRY = "RETRY"
    UNKNOWN = "UNKNOWN"
    RELEASED = "RELEASED"
    LEASE_EXPIRED = "LEASE_EXPIRED"
