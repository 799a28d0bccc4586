"""What servers read from CRMs for sessions, page by page."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import Direction, Phase, RecordAction
from crmsync_server.store.tables.columns import count, one_of, text, time


def session_runs(metadata: sa.MetaData) -> None:
    """Add what is still to do for sessions: where each stands, and who is at it."""
    sa.Table(
        "session_runs",
        metadata,
        text("org_id"),
        sa.Column("session_id", sa.Uuid, nullable=False),
        text("crm"),
        text("phase"),
        sa.Column("cursor", pg.JSONB, nullable=False, server_default="{}"),
        sa.Column("task", pg.JSONB, nullable=False, server_default="{}"),
        time("until_time", null=True),
        time("due_time", default=True),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        text("wait_code", null=True),
        text("wait_message", null=True),
        count("fence"),
        time("lease_until", null=True),
        text("lease_owner", null=True),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "session_id", name="session_runs_pkey"),
        sa.CheckConstraint(one_of("phase", Phase), name="session_runs_phase_check"),
        sa.CheckConstraint(
            "(lease_until IS NULL) = (lease_owner IS NULL)", name="session_runs_lease_check"
        ),
    )


def session_records(metadata: sa.MetaData) -> None:
    """Add what was read for each session, once for each record."""
    sides = (Direction.PULL, Direction.PUSH)
    sa.Table(
        "session_records",
        metadata,
        text("org_id"),
        sa.Column("session_id", sa.Uuid, nullable=False),
        text("direction"),
        text("key"),
        text("action", null=True),
        sa.Column("contact_id", sa.Uuid, nullable=True),
        sa.Column("contact_version", sa.BigInteger, nullable=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=True),
        sa.Column("fields", pg.JSONB, nullable=True),
        text("error_code", null=True),
        text("error_message", null=True),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint(
            "org_id", "session_id", "direction", "key", name="session_records_pkey"
        ),
        sa.CheckConstraint(one_of("direction", sides), name="session_records_direction_check"),
        sa.CheckConstraint(one_of("action", RecordAction), name="session_records_action_check"),
    )


def watermarks(metadata: sa.MetaData) -> None:
    """Add up to when each CRM was read."""
    sa.Table(
        "watermarks",
        metadata,
        text("org_id"),
        text("crm"),
        time("time"),
        sa.Column("session_id", sa.Uuid, nullable=False),
        time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "crm", name="watermarks_pkey"),
    )
