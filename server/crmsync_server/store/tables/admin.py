"""What admins set: how deliveries are configured, and what is queued when."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.tables.columns import text, time


def crm_configs(metadata: sa.MetaData) -> None:
    """Add how each organization delivers to each CRM, where it differs from the defaults."""
    numbers = {"batch_size": 1, "concurrency": 1, "max_retries": 0}
    sa.Table(
        "crm_configs",
        metadata,
        text("org_id"),
        text("crm"),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.text("true")),
        *(sa.Column(name, sa.Integer, nullable=True) for name in numbers),
        sa.Column("custom_properties", pg.JSONB, nullable=False, server_default="[]"),
        sa.Column("mapping", pg.JSONB, nullable=False, server_default="[]"),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        time("create_time", default=True),
        time("update_time", default=True),
        sa.Column("merging", pg.JSONB, nullable=False, server_default="{}"),
        time("two_way_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "crm", name="crm_configs_pkey"),
        *(
            sa.CheckConstraint(f"{name} >= {least}", name=f"crm_configs_{name}_check")
            for name, least in numbers.items()
        ),
    )


def schedules(metadata: sa.MetaData) -> None:
    """Add the work that is queued at set times."""
    ran = "CASE WHEN last_run_time IS NULL THEN 0 ELSE 1 END"
    sa.Table(
        "schedules",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("display_name", default=""),
        text("cron"),
        text("time_zone"),
        text("crm"),
        sa.Column("action", pg.JSONB, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        time("next_run_time", null=True),
        time("last_run_time", null=True),
        sa.Column("last_session_id", sa.Uuid, nullable=True),
        text("last_error", null=True),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        text("creator", default=""),
        time("create_time", default=True),
        time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="schedules_pkey"),
        sa.CheckConstraint("enabled = (next_run_time IS NOT NULL)", name="schedules_next_check"),
        sa.CheckConstraint(
            f"num_nonnulls(last_session_id, last_error) = {ran}", name="schedules_last_check"
        ),
        sa.Index(
            "schedules_next_run_time_idx",
            "next_run_time",
            postgresql_where=sa.text("next_run_time IS NOT NULL"),
        ),
    )
