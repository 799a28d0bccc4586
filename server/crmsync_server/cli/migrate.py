"""crmsync-server migrate."""

from typing import TYPE_CHECKING

import typer

from crmsync_server.cli.options import DataDir
from crmsync_server.cli.running import run
from crmsync_server.cli.settings import read_settings

if TYPE_CHECKING:
    from crmsync_server.settings import Settings


def migrate(*, data_dir: DataDir = None) -> None:
    """Bring the database to the schema of this version; `serve` does so too."""
    settings = read_settings(data_dir=data_dir)
    run(settings, _migrate(settings))


async def _migrate(settings: "Settings") -> None:
    from crmsync_server.postgres import postgres
    from crmsync_server.store.migrations import migrate

    async with postgres(settings) as url:
        migrated = await migrate(url)
    if migrated.before == migrated.after:
        typer.echo(f"The database is at revision {migrated.after}; there was nothing to do.")
    else:
        before = f"at revision {migrated.before}" if migrated.before else "empty"
        typer.echo(f"The database was {before}; it is now at revision {migrated.after}.")
