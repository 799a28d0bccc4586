"""The schema as SQLAlchemy tables; the migrations make exactly this, and a test proves it.

Every primary, unique and foreign key begins with org_id, so that the schema can be distributed by
organization unchanged.
"""

from collections.abc import Iterable
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import (
    PROCESSING_STATUS_OF,
    AttemptOutcome,
    ItemOutcome,
    ProcessingStatus,
    SessionKind,
    SessionState,
)


def schema() -> sa.MetaData:
    """Return the whole schema, freshly built."""
    metadata = sa.MetaData()
    for table in (_contacts, _contact_syncs, _sessions, _session_items, _sync_attempts):
        table(metadata)
    for table in (_sync_counts, _sync_hours, _lanes, _tickets, _quotas, _requests, _imports):
        table(metadata)
    return metadata


def _one_of(column: str, values: Iterable[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def _time(name: str, *, null: bool = False, default: bool = False) -> sa.Column[object]:
    server_default = sa.text("now()") if default else None
    return sa.Column(
        name, pg.TIMESTAMP(timezone=True), nullable=null, server_default=server_default
    )


def _text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, server_default=default)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))


def _contacts(metadata: sa.MetaData) -> None:
    email_key = sa.Computed("lower(btrim(email))", persisted=True)
    sa.Table(
        "contacts",
        metadata,
        _text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        _text("email", null=True),
        sa.Column("email_key", sa.Text, email_key),
        _text("name", default=""),
        _text("first_name", default=""),
        _text("last_name", default=""),
        _text("phone", default=""),
        _text("company", default=""),
        sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
        _text("notes", default=""),
        _text("avatar", default=""),
        sa.Column("domain_id", sa.Uuid, nullable=True),
        sa.Column("properties", pg.JSONB, nullable=False, server_default="{}"),
        sa.Column("unread_count", sa.Integer, nullable=False, server_default="0"),
        _time("last_message_time", null=True),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        _time("create_time", default=True),
        _time("update_time", default=True),
        _time("delete_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="contacts_pkey"),
        sa.CheckConstraint("org_id <> '' AND length(org_id) <= 64", name="contacts_org_id_check"),
        sa.CheckConstraint("email <> ''", name="contacts_email_check"),
        sa.Index(
            "contacts_email_key",
            "org_id",
            "email_key",
            unique=True,
            postgresql_where=sa.text("delete_time IS NULL"),
        ),
        sa.Index(
            "contacts_create_time_idx",
            "org_id",
            "create_time",
            "id",
            postgresql_where=sa.text("delete_time IS NULL"),
        ),
        sa.Index(
            "contacts_last_message_time_idx",
            "org_id",
            "last_message_time",
            "id",
            postgresql_where=sa.text("delete_time IS NULL"),
        ),
    )


def _contact_syncs(metadata: sa.MetaData) -> None:
    legal = " OR ".join(
        f"(sync_status = '{sync}' AND processing_status {_equals(processing)})"
        for sync, processing in PROCESSING_STATUS_OF.items()
    )
    sa.Table(
        "contact_syncs",
        metadata,
        _text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        _text("crm"),
        _text("sync_status"),
        _text("processing_status", null=True),
        _text("previous_status", null=True),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="1"),
        _time("due_time", default=True),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("rescue_count", sa.Integer, nullable=False, server_default="0"),
        _time("next_retry_time", null=True),
        _time("last_retry_time", null=True),
        _text("error_code", null=True),
        _text("error_message", null=True),
        _text("error_request_id", null=True),
        _text("skip_reason", null=True),
        _text("crm_contact_id", null=True),
        _time("synced_time", null=True),
        sa.Column("synced_hash", sa.LargeBinary, nullable=True),
        sa.Column("wanted_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("claimed_version", sa.BigInteger, nullable=True),
        sa.Column("claimed_hash", sa.LargeBinary, nullable=True),
        _time("claim_time", null=True),
        _time("lease_until", null=True),
        _text("lease_owner", null=True),
        _text("ticket", null=True),
        _flag("force"),
        _flag("queued_again"),
        _flag("cancel_requested"),
        _text("queued_by", default=""),
        _time("create_time", default=True),
        _time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "contact_id", "crm", name="contact_syncs_pkey"),
        sa.CheckConstraint(legal, name="contact_syncs_status_check"),
        sa.CheckConstraint("priority IN (1, 2)", name="contact_syncs_priority_check"),
        sa.CheckConstraint(
            "(sync_status = 'PROCESSING') = (lease_until IS NOT NULL)",
            name="contact_syncs_lease_check",
        ),
        sa.CheckConstraint(
            "(sync_status = 'PROCESSING') = (claimed_version IS NOT NULL)",
            name="contact_syncs_claim_check",
        ),
        sa.CheckConstraint(
            "(sync_status = 'ERROR') <= (error_code IS NOT NULL)",
            name="contact_syncs_error_check",
        ),
        sa.CheckConstraint(
            "ticket IS NULL OR sync_status = 'PROCESSING'", name="contact_syncs_ticket_check"
        ),
        sa.Index(
            "contact_syncs_queue_idx",
            "org_id",
            "crm",
            "priority",
            "due_time",
            "contact_id",
            postgresql_where=sa.text("processing_status = 'QUEUED'"),
        ),
        sa.Index(
            "contact_syncs_lease_idx",
            "org_id",
            "crm",
            "lease_until",
            postgresql_where=sa.text("processing_status = 'PROCESSING'"),
        ),
        sa.Index(
            "contact_syncs_ticket_idx",
            "org_id",
            "crm",
            "ticket",
            postgresql_where=sa.text("ticket IS NOT NULL"),
        ),
    )


def _equals(processing: ProcessingStatus | None) -> str:
    return "IS NULL" if processing is None else f"= '{processing}'"


def _sessions(metadata: sa.MetaData) -> None:
    ended = _one_of("state", (SessionState.SUCCEEDED, SessionState.CANCELLED))
    completed = "synced + skipped + errors + cancelled"
    sa.Table(
        "sessions",
        metadata,
        _text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        _text("kind"),
        _text("crm"),
        _text("state"),
        _count("total"),
        _count("synced"),
        _count("skipped"),
        _count("errors"),
        _count("cancelled"),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
        _text("creator"),
        _time("create_time", default=True),
        _time("update_time", default=True),
        _time("end_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="sessions_pkey"),
        sa.CheckConstraint(_one_of("kind", SessionKind), name="sessions_kind_check"),
        sa.CheckConstraint(_one_of("state", SessionState), name="sessions_state_check"),
        sa.CheckConstraint(f"{completed} <= total", name="sessions_sum_check"),
        sa.CheckConstraint(f"({ended}) = ({completed} = total)", name="sessions_ended_check"),
        sa.CheckConstraint(f"({ended}) = (end_time IS NOT NULL)", name="sessions_end_time_check"),
    )


def _session_items(metadata: sa.MetaData) -> None:
    sa.Table(
        "session_items",
        metadata,
        _text("org_id"),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        _text("crm"),
        sa.Column("min_attempt", sa.Integer, nullable=False),
        _text("outcome", null=True),
        sa.Column("attempt", sa.Integer, nullable=True),
        _text("error_code", null=True),
        _text("error_message", null=True),
        _text("skip_reason", null=True),
        _time("end_time", null=True),
        sa.PrimaryKeyConstraint(
            "org_id", "session_id", "contact_id", "crm", name="session_items_pkey"
        ),
        sa.CheckConstraint(
            f"outcome IS NULL OR {_one_of('outcome', ItemOutcome)}",
            name="session_items_outcome_check",
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (end_time IS NULL)", name="session_items_end_time_check"
        ),
        sa.Index(
            "session_items_pending_idx",
            "org_id",
            "contact_id",
            "crm",
            postgresql_where=sa.text("outcome IS NULL"),
        ),
    )


def _sync_attempts(metadata: sa.MetaData) -> None:
    sa.Table(
        "sync_attempts",
        metadata,
        _text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        _text("crm"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _time("start_time"),
        _time("end_time", default=True),
        _text("outcome"),
        sa.Column("contact_version", sa.BigInteger, nullable=False),
        _text("error_code", null=True),
        _text("error_message", null=True),
        _text("request_id", null=True),
        _text("skip_reason", null=True),
        _text("crm_contact_id", null=True),
        _time("next_retry_time", null=True),
        _text("lease_owner", null=True),
        sa.PrimaryKeyConstraint(
            "org_id", "contact_id", "crm", "attempt", "end_time", name="sync_attempts_pkey"
        ),
        sa.CheckConstraint(_one_of("outcome", AttemptOutcome), name="sync_attempts_outcome_check"),
        postgresql_partition_by="RANGE (end_time)",
    )


def _sync_counts(metadata: sa.MetaData) -> None:
    sa.Table(
        "sync_counts",
        metadata,
        _text("org_id"),
        _text("crm"),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(_count(name) for name in ("selected", "open", "complete", "error", "skipped")),
        sa.PrimaryKeyConstraint("org_id", "crm", "slot", name="sync_counts_pkey"),
    )


def _sync_hours(metadata: sa.MetaData) -> None:
    outcomes = ("synced", "skipped", "rejected", "postponed", "retried", "unknown", "released")
    sa.Table(
        "sync_hours",
        metadata,
        _text("org_id"),
        _text("crm"),
        _time("hour"),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(_count(name) for name in (*outcomes, "expired", "errors")),
        sa.PrimaryKeyConstraint("org_id", "crm", "hour", "slot", name="sync_hours_pkey"),
    )


def _lanes(metadata: sa.MetaData) -> None:
    sa.Table(
        "lanes",
        metadata,
        _text("org_id"),
        _text("crm"),
        _time("paused_until", null=True),
        _text("pause_code", null=True),
        _text("pause_message", null=True),
        sa.Column("records_per_second", sa.Double, nullable=True),
        _time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "crm", name="lanes_pkey"),
    )


def _tickets(metadata: sa.MetaData) -> None:
    sa.Table(
        "tickets",
        metadata,
        _text("org_id"),
        _text("crm"),
        _text("ticket"),
        _time("check_time"),
        _time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "crm", "ticket", name="tickets_pkey"),
    )


def _quotas(metadata: sa.MetaData) -> None:
    sa.Table(
        "quotas",
        metadata,
        _text("org_id"),
        _text("crm"),
        _text("bucket"),
        _time("arrival_time"),
        sa.PrimaryKeyConstraint("org_id", "crm", "bucket", name="quotas_pkey"),
    )


def _requests(metadata: sa.MetaData) -> None:
    sa.Table(
        "requests",
        metadata,
        _text("org_id"),
        sa.Column("request_id", sa.Uuid, nullable=False),
        _text("method"),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=True),
        _time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "request_id", name="requests_pkey"),
        sa.Index("requests_create_time_idx", "create_time"),
    )


def _imports(metadata: sa.MetaData) -> None:
    sa.Table(
        "imports",
        metadata,
        _text("org_id"),
        sa.Column("request_id", sa.Uuid, nullable=False),
        *(_count(name) for name in ("received", "created", "updated", "unchanged", "rejected")),
        sa.Column("rejections", pg.JSONB, nullable=False, server_default="[]"),
        _time("create_time", default=True),
        _time("end_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "request_id", name="imports_pkey"),
        sa.Index("imports_create_time_idx", "create_time"),
    )
