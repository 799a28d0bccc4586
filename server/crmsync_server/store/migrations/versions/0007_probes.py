"""A lane that met a fault waits for a probe."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Remember that a lane waits for a probe, and how often in a row."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
