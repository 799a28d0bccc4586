"""Records that are gone at a CRM, and not made anew unasked."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what tells a contact that was unlinked from one that was never delivered."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
