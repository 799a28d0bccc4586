"""Leads: signups handed to a broker's CRM, what became of them, and how many stand where."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is kept of leads."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
