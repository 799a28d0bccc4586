"""Attempts tell which transaction recorded them."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note the transaction of each attempt, and index it."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
