"""The first schema."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
