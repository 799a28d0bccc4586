"""Sessions that read from a CRM, what both sides last agreed on, conflicts, and webhooks."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a synchronization in both directions keeps."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
