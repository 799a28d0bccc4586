"""Contacts are found by their emails through the one index made for it."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the function that finds them."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
