"""Deliveries rewrite rows where they lie."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index items by what does not change, and leave them room."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
