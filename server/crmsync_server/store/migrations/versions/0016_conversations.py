"""WhatsApp conversations: accounts, what webhooks told, messages both ways, and an outbox."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what conversations are kept in."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
