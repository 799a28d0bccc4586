"""What contacts are found by, those whose terms are not made yet, and who searched for what."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.tables.columns import text, time


def search(metadata: sa.MetaData) -> None:
    """Add all of it."""
    for table in (contact_terms, unindexed_contacts, recent_searches):
        table(metadata)


def contact_terms(metadata: sa.MetaData) -> None:
    """Add the terms of each contact, at one of its versions."""
    sa.Table(
        "contact_terms",
        metadata,
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("terms", pg.TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "contact_id", name="contact_terms_pkey"),
        sa.Index("contact_terms_terms_idx", "terms", postgresql_using="gin"),
    )


def unindexed_contacts(metadata: sa.MetaData) -> None:
    """Add the contacts that were written since, a row for each statement that wrote some."""
    sa.Table(
        "unindexed_contacts",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("contact_ids", pg.ARRAY(sa.Uuid), nullable=False),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="unindexed_contacts_pkey"),
        sa.Index("unindexed_contacts_create_time_idx", "create_time"),
    )


def recent_searches(metadata: sa.MetaData) -> None:
    """Add what each caller searched for."""
    sa.Table(
        "recent_searches",
        metadata,
        text("org_id"),
        text("caller"),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        *(text(name) for name in ("text", "filter", "order_by")),
        sa.Column("search_count", sa.BigInteger, nullable=False, server_default="1"),
        time("search_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "caller", "digest", name="recent_searches_pkey"),
    )
