"""The people who work with an organization's CRMs."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.tables.columns import text, time


def users(metadata: sa.MetaData) -> None:
    """Add the users. What is unique is looked at when a statement ends: two may exchange emails."""
    sa.Table(
        "users",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("external_id"),
        text("email"),
        sa.Column(
            "email_key", sa.Text, sa.Computed("lower(btrim(email))", persisted=True), nullable=True
        ),
        text("first_name", default=""),
        text("last_name", default=""),
        text("role"),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("metadata", pg.JSONB, nullable=False, server_default="{}"),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        time("create_time", default=True),
        time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="users_pkey"),
        sa.UniqueConstraint(
            *("org_id", "external_id"),
            name="users_external_id_key",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        sa.UniqueConstraint(
            *("org_id", "email_key"),
            name="users_email_key",
            deferrable=True,
            initially="IMMEDIATE",
        ),
        sa.CheckConstraint("external_id <> ''", name="users_external_id_check"),
        sa.CheckConstraint("email <> ''", name="users_email_check"),
    )
