"""What has failed is found without reading what has not."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index failures by when they failed, and those that the credentials caused."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
