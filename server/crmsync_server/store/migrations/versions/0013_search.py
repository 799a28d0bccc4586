"""What searching needs: an index of words that follows the contacts, and who searched for what."""

from pathlib import Path

from alembic import op

from crmsync_server.store.migrations import run_script

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index of words and what keeps it up, two orders, and recent searches."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
