"""Records that are removed at a CRM, and sessions that change many contacts at once."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what tells a removal from a delivery, and the kinds of sessions."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
