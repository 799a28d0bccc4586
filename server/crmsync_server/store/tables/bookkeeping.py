"""What the server notes for itself: allowances, answers given, and imports under way."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.tables.columns import count, text, time


def quotas(metadata: sa.MetaData) -> None:
    """Add the buckets of each account's allowance."""
    sa.Table(
        "quotas",
        metadata,
        text("org_id"),
        text("crm"),
        text("bucket"),
        time("arrival_time"),
        sa.Column("declared", sa.BigInteger, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("period", sa.Interval, nullable=False),
        sa.Column("rate", sa.Double, nullable=False, server_default=sa.text("1")),
        time("refused_time", null=True),
        time("blocked_until", null=True),
        time("urgent_time", null=True),
        time("reset_time", null=True),
        count("first_slot"),
        sa.Column("spent", pg.ARRAY(sa.BigInteger), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("org_id", "crm", "bucket", name="quotas_pkey"),
        sa.CheckConstraint("declared > 0 AND calls > 0", name="quotas_calls_check"),
        sa.CheckConstraint("period > interval '0'", name="quotas_period_check"),
        sa.CheckConstraint("rate > 0 AND rate <= 1", name="quotas_rate_check"),
    )


def requests(metadata: sa.MetaData) -> None:
    """Add the answers to requests that may be sent again."""
    sa.Table(
        "requests",
        metadata,
        text("org_id"),
        sa.Column("request_id", sa.Uuid, nullable=False),
        text("method"),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=True),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "request_id", name="requests_pkey"),
        sa.Index("requests_create_time_idx", "create_time"),
    )


def imports(metadata: sa.MetaData) -> None:
    """Add how far each named import has come."""
    sa.Table(
        "imports",
        metadata,
        text("org_id"),
        sa.Column("request_id", sa.Uuid, nullable=False),
        *(count(name) for name in ("received", "created", "updated", "unchanged", "rejected")),
        sa.Column("rejections", pg.JSONB, nullable=False, server_default="[]"),
        time("create_time", default=True),
        time("end_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "request_id", name="imports_pkey"),
        sa.Index("imports_create_time_idx", "create_time"),
    )
