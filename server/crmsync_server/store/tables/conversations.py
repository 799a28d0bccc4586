"""WhatsApp conversations: accounts, what webhooks told, messages both ways, and the outbox."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.states import ConversationStatus, MessageDirection, MessageStatus
from crmsync_server.store.tables.columns import count, flag, one_of, text, time

_OPEN = sa.text("status = 'OPEN'")


def whatsapp_accounts(metadata: sa.MetaData) -> None:
    """Add the accounts; whoever changes conversations locks the organization's row first."""
    sa.Table(
        "whatsapp_accounts",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        *(text(name, default="") for name in ("name", "waba_id", "business_id")),
        flag("refused"),
        time("sync_time", null=True),
        time("create_time", default=True),
        sa.PrimaryKeyConstraint("org_id", name="whatsapp_accounts_pkey"),
        sa.Index(
            "whatsapp_accounts_waba_id_idx", "waba_id", postgresql_where=sa.text("waba_id <> ''")
        ),
    )


def whatsapp_numbers(metadata: sa.MetaData) -> None:
    """Add the phone numbers of accounts; webhooks are routed by their ids."""
    sa.Table(
        "whatsapp_numbers",
        metadata,
        text("org_id"),
        text("id"),
        *(text(name, default="") for name in ("display_number", "verified_name", "quality")),
        flag("is_active"),
        flag("verified"),
        sa.Column("place", sa.Integer, nullable=False, server_default="0"),
        time("next_send_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="whatsapp_numbers_pkey"),
        sa.CheckConstraint("id <> ''", name="whatsapp_numbers_id_check"),
        sa.Index("whatsapp_numbers_id_idx", "id"),
    )


def whatsapp_inbox(metadata: sa.MetaData) -> None:
    """Add what webhooks told."""
    sa.Table(
        "whatsapp_inbox",
        metadata,
        text("org_id"),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("change", pg.JSONB, nullable=False),
        time("receive_time", default=True),
        time("done_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "key", name="whatsapp_inbox_pkey"),
        sa.Index(
            "whatsapp_inbox_waiting_idx",
            *("org_id", "receive_time"),
            postgresql_where=sa.text("done_time IS NULL"),
        ),
        sa.Index(
            "whatsapp_inbox_done_time_idx",
            "done_time",
            postgresql_where=sa.text("done_time IS NOT NULL"),
        ),
    )


def whatsapp_ids(metadata: sa.MetaData) -> None:
    """Add who is behind a number of WhatsApp's."""
    sa.Table(
        "whatsapp_ids",
        metadata,
        text("org_id"),
        text("wa_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        time("update_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "wa_id", name="whatsapp_ids_pkey"),
        sa.Index("whatsapp_ids_contact_idx", "org_id", "contact_id"),
    )


def correspondents(metadata: sa.MetaData) -> None:
    """Add what is kept up of a contact's messages."""
    sa.Table(
        "correspondents",
        metadata,
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        count("message_count"),
        time("first_message_time"),
        time("last_message_time"),
        sa.PrimaryKeyConstraint("org_id", "contact_id", name="correspondents_pkey"),
        sa.Index("correspondents_count_idx", "org_id", "message_count", "contact_id"),
    )


def conversations(metadata: sa.MetaData) -> None:
    """Add the conversations: what follows from the messages and the closings."""
    sa.Table(
        "conversations",
        metadata,
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("phone_number_id"),
        text("status"),
        sa.Column("message_count", sa.BigInteger, nullable=False),
        sa.Column("unread_count", sa.Integer, nullable=False),
        time("first_message_time"),
        time("last_message_time"),
        time("last_incoming_time", null=True),
        text("last_message", default=""),
        time("close_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "id", name="conversations_pkey"),
        pg.ExcludeConstraint(
            *((name, "=") for name in ("org_id", "contact_id", "phone_number_id")),
            name="conversations_open_key",
            using="btree",
            where=_OPEN,
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.CheckConstraint(one_of("status", ConversationStatus), name="conversations_status_check"),
        sa.CheckConstraint(
            "(status = 'OPEN') = (close_time IS NULL)", name="conversations_close_time_check"
        ),
        sa.CheckConstraint("unread_count >= 0", name="conversations_unread_count_check"),
        *_conversation_indexes(),
    )


def _conversation_indexes() -> Sequence[sa.Index]:
    return (
        sa.Index(
            "conversations_pair_idx",
            *("org_id", "contact_id", "phone_number_id", "first_message_time"),
        ),
        sa.Index("conversations_newest_idx", "org_id", "last_message_time", "id"),
        sa.Index("conversations_status_idx", "org_id", "status", "last_message_time", "id"),
        sa.Index(
            "conversations_unread_idx",
            *("org_id", "contact_id"),
            postgresql_where=sa.text("unread_count > 0"),
        ),
        sa.Index("conversations_ending_idx", "last_message_time", postgresql_where=_OPEN),
    )


def conversation_closings(metadata: sa.MetaData) -> None:
    """Add when somebody said that a conversation is over."""
    key = ("org_id", "contact_id", "phone_number_id", "close_time")
    sa.Table(
        "conversation_closings",
        metadata,
        text("org_id"),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("phone_number_id"),
        time("close_time"),
        sa.PrimaryKeyConstraint(*key, name="conversation_closings_pkey"),
    )


def conversation_counts(metadata: sa.MetaData) -> None:
    """Add how many conversations there are."""
    sa.Table(
        "conversation_counts",
        metadata,
        text("org_id"),
        text("status"),
        count("total"),
        sa.PrimaryKeyConstraint("org_id", "status", name="conversation_counts_pkey"),
    )


def messages(metadata: sa.MetaData) -> None:
    """Add the messages, both ways."""
    sa.Table(
        "messages",
        metadata,
        *_message_columns(),
        sa.PrimaryKeyConstraint("org_id", "id", name="messages_pkey"),
        sa.UniqueConstraint("org_id", "whatsapp_id", name="messages_whatsapp_id_key"),
        sa.CheckConstraint(one_of("direction", MessageDirection), name="messages_direction_check"),
        sa.CheckConstraint(one_of("status", MessageStatus), name="messages_status_check"),
        sa.Index(
            "messages_pair_idx",
            *("org_id", "contact_id", "phone_number_id", "message_time", "id"),
        ),
        sa.Index(
            "messages_sent_idx",
            *("org_id", "contact_id", "phone_number_id", "message_time"),
            postgresql_where=sa.text("direction = 'OUTGOING'"),
        ),
        sa.Index("messages_conversation_idx", "org_id", "conversation_id", "message_time", "id"),
        sa.Index("messages_transaction_idx", "org_id", "transaction"),
    )


def _message_columns() -> Sequence[sa.schema.SchemaItem]:
    return (
        text("org_id"),
        sa.Column("id", sa.Uuid, nullable=False),
        text("whatsapp_id", null=True),
        sa.Column("conversation_id", sa.Uuid, nullable=True),
        sa.Column("contact_id", sa.Uuid, nullable=False),
        text("phone_number_id"),
        text("direction"),
        text("type"),
        text("text", default=""),
        sa.Column("payload", pg.JSONB, nullable=False, server_default="{}"),
        text("status"),
        sa.Column("error", pg.JSONB, nullable=True),
        flag("is_read"),
        sa.Column("response_time", pg.INTERVAL, nullable=True),
        time("message_time"),
        sa.Column("transaction", sa.BigInteger, nullable=False),
        time("create_time", default=True),
        time("update_time", default=True),
    )


def message_statuses(metadata: sa.MetaData) -> None:
    """Add what was told of messages that were sent, also before the message is known."""
    sa.Table(
        "message_statuses",
        metadata,
        text("org_id"),
        text("whatsapp_id"),
        text("status"),
        time("status_time"),
        sa.Column("message_id", sa.Uuid, nullable=True),
        sa.Column("error", pg.JSONB, nullable=True),
        time("receive_time", default=True),
        sa.PrimaryKeyConstraint("org_id", "whatsapp_id", "status", name="message_statuses_pkey"),
    )


def message_days(metadata: sa.MetaData) -> None:
    """Add what is kept up of each day."""
    sa.Table(
        "message_days",
        metadata,
        text("org_id"),
        sa.Column("day", sa.Date, nullable=False),
        *map(count, ("sent", "received", "new_contacts", "last_contacts", "answers")),
        sa.Column("response_time", pg.INTERVAL, nullable=False, server_default=sa.text("'0'")),
        sa.PrimaryKeyConstraint("org_id", "day", name="message_days_pkey"),
    )


def message_outbox(metadata: sa.MetaData) -> None:
    """Add the messages that are to be sent."""
    sa.Table(
        "message_outbox",
        metadata,
        text("org_id"),
        sa.Column("message_id", sa.Uuid, nullable=False),
        text("phone_number_id"),
        text("recipient"),
        sa.Column("content", pg.JSONB, nullable=False),
        time("due_time", default=True),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        time("lease_end_time", null=True),
        sa.PrimaryKeyConstraint("org_id", "message_id", name="message_outbox_pkey"),
        sa.Index(
            "message_outbox_line_idx", *("org_id", "phone_number_id", "recipient", "message_id")
        ),
        sa.Index(
            "message_outbox_leased_idx",
            "lease_end_time",
            postgresql_where=sa.text("lease_end_time IS NOT NULL"),
        ),
    )


def caller_limits(metadata: sa.MetaData) -> None:
    """Add how often callers have called within the hour."""
    sa.Table(
        "caller_limits",
        metadata,
        text("org_id"),
        text("caller"),
        text("kind"),
        time("start_time", default=True),
        sa.Column("calls", sa.Integer, nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("org_id", "caller", "kind", name="caller_limits_pkey"),
        sa.Index("caller_limits_start_time_idx", "start_time"),
    )


_TABLES = (
    whatsapp_accounts,
    whatsapp_numbers,
    whatsapp_inbox,
    whatsapp_ids,
    correspondents,
    conversations,
    conversation_closings,
    conversation_counts,
    messages,
    message_statuses,
    message_days,
    message_outbox,
    caller_limits,
)


def add_all(metadata: sa.MetaData) -> None:
    """Add every table of conversations."""
    for table in _TABLES:
        table(metadata)
