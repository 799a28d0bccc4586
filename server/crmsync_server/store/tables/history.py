"""What happened: the attempts, and what they add up to."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import AttemptOutcome
from crmsync_server.store.tables.columns import count, one_of, text, time


def sync_attempts(metadata: sa.MetaData) -> None:
    """Add the attempts, a partition for each day."""
    sa.Table(
        "sync_attempts",
        metadata,
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("crm"),
        sa.Column("attempt", sa.Integer, nullable=False),
        time("start_time"),
        time("end_time", default=True),
        text("outcome"),
        sa.Column("contact_version", sa.BigInteger, nullable=False),
        text("error_code", null=True),
        text("error_message", null=True),
        text("request_id", null=True),
        text("skip_reason", null=True),
        text("crm_contact_id", null=True),
        time("next_retry_time", null=True),
        text("lease_owner", null=True),
        sa.Column("transaction", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("removal", sa.Boolean, nullable=True),
        sa.PrimaryKeyConstraint(
            "org_id", "contact_id", "crm", "attempt", "end_time", name="sync_attempts_pkey"
        ),
        sa.CheckConstraint(one_of("outcome", AttemptOutcome), name="sync_attempts_outcome_check"),
        sa.Index("sync_attempts_transaction_idx", "org_id", "transaction"),
        postgresql_partition_by="RANGE (end_time)",
    )


def sync_counts(metadata: sa.MetaData) -> None:
    """Add how many contacts stand where, in slots that are summed up."""
    sa.Table(
        "sync_counts",
        metadata,
        text("org_id"),
        text("crm"),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(count(name) for name in ("selected", "open", "complete", "error", "skipped")),
        sa.PrimaryKeyConstraint("org_id", "crm", "slot", name="sync_counts_pkey"),
    )


def sync_hours(metadata: sa.MetaData) -> None:
    """Add how many attempts ended how in each hour, in slots that are summed up."""
    outcomes = ("synced", "skipped", "rejected", "postponed", "retried", "unknown", "released")
    sa.Table(
        "sync_hours",
        metadata,
        text("org_id"),
        text("crm"),
        time("hour"),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(count(name) for name in (*outcomes, "expired", "errors", "calls", "call_records")),
        sa.Column("call_seconds", sa.Double, nullable=False, server_default=sa.text("0")),
        sa.Column("call_steps", pg.ARRAY(sa.BigInteger), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("org_id", "crm", "hour", "slot", name="sync_hours_pkey"),
        sa.Index("sync_hours_slot_idx", "slot", "hour"),
    )


def error_hours(metadata: sa.MetaData) -> None:
    """Add how many attempts ended with which code in each hour, and how many of them as errors."""
    sa.Table(
        "error_hours",
        metadata,
        text("org_id"),
        text("crm"),
        time("hour"),
        text("code"),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(count(name) for name in ("attempts", "errors")),
        sa.PrimaryKeyConstraint("org_id", "crm", "hour", "code", "slot", name="error_hours_pkey"),
        sa.Index("error_hours_slot_idx", "slot", "hour"),
    )


def read_hours(metadata: sa.MetaData) -> None:
    """Add how many records were read in each hour, and how many conflicts found and ended.

    Each transaction has a slot of its own, its id: whoever reads waits for nobody.
    """
    sa.Table(
        "read_hours",
        metadata,
        text("org_id"),
        text("crm"),
        time("hour"),
        sa.Column("slot", sa.BigInteger, nullable=False),
        *(count(name) for name in ("session_records", "notice_records")),
        *(count(f"conflicts_{name}") for name in ("opened", "resolved", "settled")),
        sa.PrimaryKeyConstraint("org_id", "crm", "hour", "slot", name="read_hours_pkey"),
        sa.Index("read_hours_slot_idx", "slot", "hour"),
    )
