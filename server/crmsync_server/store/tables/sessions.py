"""What callers asked for: sessions, and the contacts that each is about."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import Direction, ItemOutcome, SessionKind, SessionState
from crmsync_server.store.tables.columns import count, flag, one_of, text, time

_ENDED = (SessionState.SUCCEEDED, SessionState.CANCELLED, SessionState.FAILED)


def sessions(metadata: sa.MetaData) -> None:
    """Add the sessions, with their counts."""
    sa.Table(
        "sessions",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("kind"),
        text("crm"),
        text("state"),
        count("total"),
        count("synced"),
        count("skipped"),
        count("errors"),
        count("cancelled"),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
        text("creator"),
        time("create_time", default=True),
        time("update_time", default=True),
        time("end_time", null=True),
        text("direction", default=Direction.PUSH),
        flag("dry_run"),
        flag("exclusive"),
        flag("pulling"),
        sa.Column("expected", sa.BigInteger, nullable=True),
        count("pages"),
        time("since", null=True),
        *(count(f"pulled_{name}") for name in ("created", "updated", "unchanged", "conflicts")),
        *(count(f"pulled_{name}") for name in ("deleted", "skipped", "errors")),
        text("error_code", null=True),
        text("error_message", null=True),
        sa.Column("plan", pg.JSONB, nullable=True),
        count("conversions"),
        count("new_conversions"),
        *_constraints(),
        sa.Index(
            "sessions_open_idx",
            *("org_id", "crm", "id"),
            postgresql_where=sa.text("end_time IS NULL"),
        ),
        sa.Index(
            "sessions_exclusive_key",
            *("org_id", "crm", "kind"),
            unique=True,
            postgresql_where=sa.text("exclusive AND end_time IS NULL"),
        ),
    )


def _constraints() -> Sequence[sa.Constraint]:
    ended = one_of("state", _ENDED)
    completed = "synced + skipped + errors + cancelled"
    return (
        sa.PrimaryKeyConstraint("org_id", "id", name="sessions_pkey"),
        sa.CheckConstraint(one_of("kind", SessionKind), name="sessions_kind_check"),
        sa.CheckConstraint(one_of("state", SessionState), name="sessions_state_check"),
        sa.CheckConstraint(one_of("direction", Direction), name="sessions_direction_check"),
        sa.CheckConstraint(f"{completed} <= total", name="sessions_sum_check"),
        sa.CheckConstraint(
            f"({ended}) = ({completed} = total AND NOT pulling)", name="sessions_ended_check"
        ),
        sa.CheckConstraint(f"({ended}) = (end_time IS NOT NULL)", name="sessions_end_time_check"),
        sa.CheckConstraint(
            f"(state = '{SessionState.FAILED}') <= (error_code IS NOT NULL)",
            name="sessions_error_check",
        ),
    )


def session_items(metadata: sa.MetaData) -> None:
    """Add one row for each contact of a session, with how it ended there."""
    sa.Table(
        "session_items",
        metadata,
        text("org_id"),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("crm"),
        sa.Column("min_attempt", sa.Integer, nullable=False),
        text("outcome", null=True),
        sa.Column("attempt", sa.Integer, nullable=True),
        text("error_code", null=True),
        text("error_message", null=True),
        text("skip_reason", null=True),
        time("end_time", null=True),
        flag("removing"),
        sa.PrimaryKeyConstraint(
            "org_id", "session_id", "contact_id", "crm", name="session_items_pkey"
        ),
        sa.CheckConstraint(
            f"outcome IS NULL OR {one_of('outcome', ItemOutcome)}",
            name="session_items_outcome_check",
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (end_time IS NULL)", name="session_items_end_time_check"
        ),
        sa.Index("session_items_contact_idx", "org_id", "contact_id", "crm", "min_attempt"),
    )
