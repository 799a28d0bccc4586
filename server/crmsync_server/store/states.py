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
    None: frozenset({SyncStatus.QUEUED, SyncStatus.COMPLETE, SyncStatus.SELECTED}),
    SyncStatus.SELECTED: frozenset({SyncStatus.QUEUED, SyncStatus.COMPLETE}),
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
    SyncStatus.COMPLETE: frozenset({SyncStatus.QUEUED, SyncStatus.SELECTED}),
    SyncStatus.ERROR: frozenset({SyncStatus.QUEUED, SyncStatus.COMPLETE}),
    SyncStatus.SKIPPED: frozenset({SyncStatus.QUEUED, SyncStatus.COMPLETE}),
}


class SessionState(StrEnum):
    """Where a session stands."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class SessionKind(StrEnum):
    """What opened a session."""

    QUEUE_CONTACT = "QUEUE_CONTACT"
    BULK_QUEUE_CONTACTS = "BULK_QUEUE_CONTACTS"
    QUEUE_ALL_CONTACTS = "QUEUE_ALL_CONTACTS"
    RETRY_CONTACT = "RETRY_CONTACT"
    RETRY_ALL_FAILURES = "RETRY_ALL_FAILURES"
    RUN_SCHEDULE = "RUN_SCHEDULE"
    FULL_SYNC = "FULL_SYNC"
    INCREMENTAL_SYNC = "INCREMENTAL_SYNC"
    MANUAL_SYNC = "MANUAL_SYNC"
    RESOLVE_CONFLICT = "RESOLVE_CONFLICT"
    LEAD_STATUS_SYNC = "LEAD_STATUS_SYNC"
    APPLY_BATCH = "APPLY_BATCH"
    MASS_UPDATE = "MASS_UPDATE"


class Direction(StrEnum):
    """Which way a session carries contacts: to the CRM, from it, or both."""

    PUSH = "PUSH"
    PULL = "PULL"
    BOTH = "BOTH"


class Phase(StrEnum):
    """What the run of a session does next."""

    PREPARE = "PREPARE"
    READ = "READ"
    FETCH = "FETCH"
    SWEEP = "SWEEP"
    QUEUE = "QUEUE"
    VERIFY = "VERIFY"
    APPLY = "APPLY"


class RecordAction(StrEnum):
    """What became of a record that was read, or of a contact that a plan would push."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    CONFLICT = "CONFLICT"
    DELETED = "DELETED"
    SKIPPED = "SKIPPED"
    ERROR = "ERROR"


class ConflictState(StrEnum):
    """Where a conflict stands: SETTLED is one that the two sides ended by themselves."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"
    SETTLED = "SETTLED"


class NoticeKind(StrEnum):
    """What a CRM told of a record."""

    CHANGED = "CHANGED"
    DELETED = "DELETED"


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


class LeadRegistration(StrEnum):
    """Whether a CRM has taken a signup."""

    PENDING = "PENDING"
    REGISTERING = "REGISTERING"
    REGISTERED = "REGISTERED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class ConversationStatus(StrEnum):
    """Whether a conversation goes on."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class MessageDirection(StrEnum):
    """Who sent a message: the contact, or the organization."""

    INCOMING = "INCOMING"
    OUTGOING = "OUTGOING"


class MessageStatus(StrEnum):
    """How far a message has come. What is told in whatever order: the last one in this order holds.

    So a failure that is told after a delivery changes nothing, and one before it is overtaken.
    """

    QUEUED = "QUEUED"
    UNKNOWN = "UNKNOWN"
    SENT = "SENT"
    FAILED = "FAILED"
    DELIVERED = "DELIVERED"
    READ = "READ"
