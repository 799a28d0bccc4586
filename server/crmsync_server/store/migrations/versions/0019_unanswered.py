"""Deliveries of which nobody knows whether they were applied."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what such deliveries told."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
