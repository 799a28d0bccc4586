"""What is not indexed yet is found in the order in which it was written."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index that finds it."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
