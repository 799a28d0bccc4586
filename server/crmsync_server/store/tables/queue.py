"""Where each contact stands with each CRM, and what holds up the queue."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import PROCESSING_STATUS_OF, ProcessingStatus
from crmsync_server.store.tables.columns import flag, text, time

_REFUSED = "sync_status = 'QUEUED' AND error_code = 'CREDENTIALS_REFUSED'"


def contact_syncs(metadata: sa.MetaData) -> None:
    """Add the standing of each contact with each CRM; the queue is an index of it."""
    sa.Table("contact_syncs", metadata, *_columns(), *_constraints(), *_indexes())


def _columns() -> Sequence[sa.schema.SchemaItem]:
    return (
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("crm"),
        text("sync_status"),
        text("processing_status", null=True),
        text("previous_status", null=True),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="1"),
        time("due_time", default=True),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("rescue_count", sa.Integer, nullable=False, server_default="0"),
        time("next_retry_time", null=True),
        time("last_retry_time", null=True),
        text("error_code", null=True),
        text("error_message", null=True),
        text("error_request_id", null=True),
        text("skip_reason", null=True),
        text("crm_contact_id", null=True),
        time("synced_time", null=True),
        sa.Column("synced_hash", sa.LargeBinary, nullable=True),
        sa.Column("wanted_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("claimed_version", sa.BigInteger, nullable=True),
        sa.Column("claimed_hash", sa.LargeBinary, nullable=True),
        time("claim_time", null=True),
        time("lease_until", null=True),
        text("lease_owner", null=True),
        text("ticket", null=True),
        flag("force"),
        flag("queued_again"),
        flag("cancel_requested"),
        text("queued_by", default=""),
        time("create_time", default=True),
        time("update_time", default=True),
        sa.Column("settled_attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("settled_before", sa.Integer, nullable=False, server_default="0"),
        flag("removing"),
        sa.Column("gone_hash", sa.LargeBinary, nullable=True),
        sa.Column("unsettled", pg.JSONB, nullable=True),
    )


def _constraints() -> Sequence[sa.Constraint]:
    legal = " OR ".join(
        f"(sync_status = '{sync}' AND processing_status {_equals(processing)})"
        for sync, processing in PROCESSING_STATUS_OF.items()
    )
    return (
        sa.PrimaryKeyConstraint("org_id", "contact_id", "crm", name="contact_syncs_pkey"),
        sa.CheckConstraint(legal, name="contact_syncs_status_check"),
        sa.CheckConstraint("priority IN (1, 2)", name="contact_syncs_priority_check"),
        sa.CheckConstraint(
            "(sync_status = 'PROCESSING') = (lease_until IS NOT NULL)",
            name="contact_syncs_lease_check",
        ),
        sa.CheckConstraint(
            "(sync_status = 'PROCESSING') <= (claimed_version IS NOT NULL)",
            name="contact_syncs_claim_check",
        ),
        sa.CheckConstraint(
            "(sync_status = 'ERROR') <= (error_code IS NOT NULL)",
            name="contact_syncs_error_check",
        ),
        sa.CheckConstraint(
            "ticket IS NULL OR sync_status = 'PROCESSING'", name="contact_syncs_ticket_check"
        ),
    )


def _indexes() -> Sequence[sa.Index]:
    return (
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
        sa.Index(
            "contact_syncs_failed_idx",
            "org_id",
            "crm",
            "update_time",
            "contact_id",
            postgresql_where=sa.text(f"sync_status = 'ERROR' OR ({_REFUSED})"),
        ),
        sa.Index(
            "contact_syncs_refused_idx",
            "org_id",
            "crm",
            postgresql_where=sa.text(_REFUSED),
        ),
    )


def _equals(processing: ProcessingStatus | None) -> str:
    return "IS NULL" if processing is None else f"= '{processing}'"


def lanes(metadata: sa.MetaData) -> None:
    """Add the pause and the pace of each queue: of one organization at one CRM."""
    sa.Table(
        "lanes",
        metadata,
        text("org_id"),
        text("crm"),
        time("paused_until", null=True),
        text("pause_code", null=True),
        text("pause_message", null=True),
        sa.Column("records_per_second", sa.Double, nullable=True),
        time("update_time", default=True),
        text("pauser", null=True),
        time("pause_time", null=True),
        flag("probing"),
        sa.Column("trips", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("org_id", "crm", name="lanes_pkey"),
    )


def tickets(metadata: sa.MetaData) -> None:
    """Add what CRMs have accepted for later."""
    sa.Table(
        "tickets",
        metadata,
        text("org_id"),
        text("crm"),
        text("ticket"),
        time("check_time"),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "crm", "ticket", name="tickets_pkey"),
    )
