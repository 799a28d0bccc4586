"""Quotas: the calls of a window, and what the CRM said of it."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a bucket hold what its replicas have noted."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
