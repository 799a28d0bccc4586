"""Signups that are handed to a broker's CRM, and what becomes of them there."""

from collections.abc import Sequence

import sqlalchemy as sa

from crmsync_server.store.states import LeadRegistration
from crmsync_server.store.tables.columns import count, flag, one_of, text, time


def leads(metadata: sa.MetaData) -> None:
    """Add the leads: what the caller decided, and what the CRM told."""
    given = ("first_name", "last_name", "phone", "country", "language", "ip_address")
    sa.Table(
        "leads",
        metadata,
        *(text(name) for name in ("org_id", "id", "crm", "email")),
        sa.Column("email_key", sa.Text, sa.Computed("lower(btrim(email))", persisted=True)),
        *(text(name, default="") for name in (*given, "campaign_id", "tag")),
        text("registration", default=LeadRegistration.PENDING),
        sa.Column("registration_attempt", sa.Integer, nullable=False, server_default="0"),
        time("registration_until", null=True),
        text("registration_error_code", null=True),
        text("registration_error_message", null=True),
        text("crm_lead_id", null=True),
        sa.Column("status_code", sa.Integer, nullable=False, server_default="0"),
        text("status_text", default=""),
        flag("ftd_exists"),
        text("tp_account", default=""),
        text("currency", default=""),
        time("crm_create_time", null=True),
        time("crm_modify_time", null=True),
        count("changes"),
        *(time(name, null=True) for name in ("conversion_time", "change_time", "sync_time")),
        time("create_time", default=True),
        time("update_time", default=True),
        *_constraints(),
        sa.Index("leads_create_time_idx", "org_id", "create_time", "id"),
        sa.Index("leads_status_code_idx", "org_id", "status_code", "create_time", "id"),
        sa.Index("leads_email_idx", "org_id", "email_key"),
    )


def _constraints() -> Sequence[sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint("org_id", "id", name="leads_pkey"),
        sa.CheckConstraint("id <> '' AND length(id) <= 64", name="leads_id_check"),
        sa.CheckConstraint("email <> ''", name="leads_email_check"),
        sa.CheckConstraint(
            one_of("registration", LeadRegistration), name="leads_registration_check"
        ),
        sa.CheckConstraint(
            f"(registration = '{LeadRegistration.REGISTERING}') = (registration_until IS NOT NULL)",
            name="leads_registration_until_check",
        ),
        sa.CheckConstraint(
            f"(registration = '{LeadRegistration.REGISTERED}') <= (crm_lead_id IS NOT NULL)",
            name="leads_crm_lead_id_check",
        ),
    )


def lead_history(metadata: sa.MetaData) -> None:
    """Add every change of every lead."""
    sa.Table(
        "lead_history",
        metadata,
        text("org_id"),
        text("lead_id"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("previous_status_code", sa.Integer, nullable=False),
        sa.Column("status_code", sa.Integer, nullable=False),
        text("status_text"),
        sa.Column("ftd_exists", sa.Boolean, nullable=False),
        text("tp_account"),
        sa.Column("conversion", sa.Boolean, nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=True),
        time("crm_modify_time", null=True),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "lead_id", "sequence", name="lead_history_pkey"),
        sa.Index(
            "lead_history_conversion_key",
            *("org_id", "lead_id"),
            unique=True,
            postgresql_where=sa.text("conversion"),
        ),
    )


def lead_counts(metadata: sa.MetaData) -> None:
    """Add how many leads stand at each status."""
    sa.Table(
        "lead_counts",
        metadata,
        text("org_id"),
        text("crm"),
        sa.Column("status_code", sa.Integer, nullable=False),
        count("leads"),
        sa.PrimaryKeyConstraint("org_id", "crm", "status_code", name="lead_counts_pkey"),
    )


def lead_totals(metadata: sa.MetaData) -> None:
    """Add how many leads there are at each CRM."""
    sa.Table(
        "lead_totals",
        metadata,
        text("org_id"),
        text("crm"),
        *(count(name) for name in ("leads", "synced", "conversions")),
        time("last_sync_time", null=True),
        time("schedule_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "crm", name="lead_totals_pkey"),
    )
