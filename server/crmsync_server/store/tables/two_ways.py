"""What a synchronization in both directions keeps: bases, conflicts, and what CRMs told."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import ConflictState, NoticeKind
from crmsync_server.store.tables.columns import one_of, text, time


def sync_bases(metadata: sa.MetaData) -> None:
    """Add what contacts and their records at CRMs last agreed on."""
    sa.Table(
        "sync_bases",
        metadata,
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("crm"),
        text("crm_contact_id"),
        sa.Column("fields", pg.JSONB, nullable=True),
        time("synced_time", null=True),
        time("crm_modified_time", null=True),
        sa.Column("echoes", pg.ARRAY(sa.LargeBinary), nullable=False, server_default="{}"),
        sa.Column("conflicted", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
        time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "contact_id", "crm", name="sync_bases_pkey"),
        sa.UniqueConstraint("org_id", "crm_contact_id", "crm", name="sync_bases_crm_contact_key"),
    )


def conflicts(metadata: sa.MetaData) -> None:
    """Add what both sides changed and no policy could settle."""
    is_open = f"state = '{ConflictState.OPEN}'"
    sa.Table(
        "conflicts",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("crm"),
        text("crm_contact_id"),
        text("state"),
        sa.Column("fields", pg.JSONB, nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=True),
        time("ours_time"),
        time("theirs_time", null=True),
        sa.Column("resolution", pg.JSONB, nullable=True),
        text("resolver", null=True),
        sa.Column("resolve_session_id", sa.Uuid, nullable=True),
        sa.Column("transaction", sa.BigInteger, nullable=False),
        time("create_time", default=True),
        time("update_time", default=True),
        time("resolve_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="conflicts_pkey"),
        sa.CheckConstraint(one_of("state", ConflictState), name="conflicts_state_check"),
        sa.CheckConstraint(
            f"({is_open}) = (resolve_time IS NULL)", name="conflicts_resolve_time_check"
        ),
        sa.Index(
            "conflicts_open_key",
            *("org_id", "contact_id", "crm"),
            unique=True,
            postgresql_where=sa.text(is_open),
        ),
        sa.Index("conflicts_transaction_idx", "org_id", "transaction"),
        sa.Index("conflicts_open_idx", "org_id", "id", postgresql_where=sa.text(is_open)),
        sa.Index("conflicts_contact_idx", "org_id", "contact_id", "id"),
    )


def notices(metadata: sa.MetaData) -> None:
    """Add what CRMs told by webhooks."""
    sa.Table(
        "notices",
        metadata,
        text("org_id"),
        text("crm"),
        text("key"),
        text("kind"),
        text("crm_contact_id", default=""),
        text("email", default=""),
        time("receive_time", default=True),
        time("due_time", default=True),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
        time("done_time", null=True),
        text("outcome", null=True),
        sa.PrimaryKeyConstraint("org_id", "crm", "key", name="notices_pkey"),
        sa.CheckConstraint(one_of("kind", NoticeKind), name="notices_kind_check"),
        sa.CheckConstraint("key <> '' AND length(key) <= 200", name="notices_key_check"),
        sa.CheckConstraint("crm_contact_id <> '' OR email <> ''", name="notices_subject_check"),
        sa.Index(
            "notices_due_idx",
            *("org_id", "crm", "due_time"),
            postgresql_where=sa.text("done_time IS NULL"),
        ),
        sa.Index(
            "notices_done_time_idx",
            "done_time",
            postgresql_where=sa.text("done_time IS NOT NULL"),
        ),
    )
