"""The people who work with an organization's CRMs."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the users."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
