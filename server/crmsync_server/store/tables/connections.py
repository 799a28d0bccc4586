"""Organizations' accounts at CRMs, with what is kept encrypted."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.health import ConnectionHealth
from crmsync_server.store.tables.columns import count, one_of, text, time


def connections(metadata: sa.MetaData) -> None:
    """Add the connections: one of each organization to a CRM."""
    sa.Table(
        "connections",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("crm"),
        text("display_name", default=""),
        text("base_url", default=""),
        sa.Column("options", pg.JSONB, nullable=False, server_default="{}"),
        text("key_id"),
        text("health", default=ConnectionHealth.UNCHECKED),
        text("health_reason", default=""),
        time("check_time", null=True),
        text("account_id", default=""),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("credentials_version", sa.BigInteger, nullable=False, server_default="1"),
        time("create_time", default=True),
        time("update_time", default=True),
        *_constraints(),
        sa.Index("connections_key_id_idx", "key_id"),
    )


def _constraints() -> Sequence[sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint("org_id", "id", name="connections_pkey"),
        sa.UniqueConstraint("org_id", "crm", name="connections_crm_key"),
        sa.CheckConstraint(one_of("health", ConnectionHealth), name="connections_health_check"),
        sa.CheckConstraint(
            f"(health = '{ConnectionHealth.UNCHECKED}') = (check_time IS NULL)",
            name="connections_check_time_check",
        ),
        sa.CheckConstraint("credentials_version <= version", name="connections_version_check"),
    )


def connection_secrets(metadata: sa.MetaData) -> None:
    """Add the secrets of connections, each encrypted."""
    sa.Table(
        "connection_secrets",
        metadata,
        text("org_id"),
        sa.Column("connection_id", sa.Uuid, nullable=False),
        text("name"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "connection_id", "name", name="connection_secrets_pkey"),
        sa.ForeignKeyConstraint(
            ["org_id", "connection_id"],
            ["connections.org_id", "connections.id"],
            name="connection_secrets_connection_fkey",
            ondelete="CASCADE",
        ),
    )


def connection_tokens(metadata: sa.MetaData) -> None:
    """Add the access tokens of connections, each encrypted, and who is renewing them."""
    sa.Table(
        "connection_tokens",
        metadata,
        text("org_id"),
        sa.Column("connection_id", sa.Uuid, nullable=False),
        sa.Column("credentials_version", sa.BigInteger, nullable=False),
        text("key_id", null=True),
        sa.Column("access_token", sa.LargeBinary, nullable=True),
        sa.Column("refresh_token", sa.LargeBinary, nullable=True),
        time("expire_time", null=True),
        count("renewals"),
        time("lease_until", null=True),
        sa.Column("lease_owner", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint(
            "org_id", "connection_id", "credentials_version", name="connection_tokens_pkey"
        ),
        sa.CheckConstraint(
            "num_nulls(key_id, access_token, refresh_token, expire_time) IN (0, 4)",
            name="connection_tokens_whole_check",
        ),
        sa.CheckConstraint(
            "(lease_until IS NULL) = (lease_owner IS NULL)", name="connection_tokens_lease_check"
        ),
        sa.Index("connection_tokens_key_id_idx", "key_id"),
    )
