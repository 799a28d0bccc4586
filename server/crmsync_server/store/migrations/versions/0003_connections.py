"""Connections."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create connections, with their secrets and tokens."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
