"""Configurations and schedules."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create configurations and schedules, and remember who paused a lane and when."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
