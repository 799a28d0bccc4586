"""Statistics of response times, errors by code, readings and conflicts, by the hour."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is kept up by the hour; conflicts that are known are counted in theirs."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
