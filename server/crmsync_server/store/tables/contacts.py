"""The contacts themselves."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.tables.columns import text, time


def contacts(metadata: sa.MetaData) -> None:
    """Add the contacts; a deleted one keeps its row."""
    sa.Table(
        "contacts",
        metadata,
        *_columns(),
        sa.PrimaryKeyConstraint("org_id", "id", name="contacts_pkey"),
        sa.CheckConstraint("org_id <> '' AND length(org_id) <= 64", name="contacts_org_id_check"),
        sa.CheckConstraint("email <> ''", name="contacts_email_check"),
        *_indexes(),
    )


def _columns() -> Sequence[sa.schema.SchemaItem]:
    email_key = sa.Computed("lower(btrim(email))", persisted=True)
    return (
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("email", null=True),
        sa.Column("email_key", sa.Text, email_key),
        text("name", default=""),
        text("first_name", default=""),
        text("last_name", default=""),
        text("phone", default=""),
        text("company", default=""),
        sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
        text("notes", default=""),
        text("avatar", default=""),
        sa.Column("domain_id", sa.Uuid, nullable=True),
        sa.Column("properties", pg.JSONB, nullable=False, server_default="{}"),
        sa.Column("unread_count", sa.Integer, nullable=False, server_default="0"),
        time("last_message_time", null=True),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        time("create_time", default=True),
        time("update_time", default=True),
        time("delete_time", null=True),
    )


def _indexes() -> Sequence[sa.Index]:
    living = sa.text("delete_time IS NULL")
    return (
        sa.Index("contacts_email_key", "org_id", "email_key", unique=True, postgresql_where=living),
        *(
            sa.Index(f"contacts_{column}_idx", "org_id", column, "id", postgresql_where=living)
            for column in ("create_time", "last_message_time", "update_time")
        ),
        sa.Index(
            "contacts_phone_digits_idx",
            "org_id",
            sa.text(r"regexp_replace(phone, '^00|\D', '', 'g')"),
            postgresql_where=sa.text("delete_time IS NULL AND phone <> ''"),
        ),
        sa.Index(
            "contacts_name_idx",
            "org_id",
            sa.text("nullif(name, '')"),
            "id",
            postgresql_where=living,
        ),
    )
