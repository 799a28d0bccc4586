"""The wall between organizations costs a look for a statement, not two for a row."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Look up the organization once in every policy."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
