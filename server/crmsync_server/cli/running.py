"""How a verb runs, and how it ends: by which exit status, and saying what."""

import asyncio
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from crmsync_server.settings import Settings

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


def refuse(reason: str) -> NoReturn:
    """End the verb: it was asked for what cannot be."""
    typer.echo(f"crmsync-server: {reason}", err=True)
    raise typer.Exit(_MISUSED)


def run(settings: "Settings", main: Coroutine[object, object, None]) -> None:
    """Run the verb to its end; what its message explains is said without a traceback."""
    import uvloop

    from crmsync_server.logs import configure, hidden

    configure(settings.log_format)
    # Nothing forks with gRPC loaded but to run another program; else it complains of each.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except Exception as error:
        if not _is_of_the_world(error):
            raise
        typer.echo(f"crmsync-server: {hidden(str(error))}", err=True)
        raise typer.Exit(_FAILED) from error


def _is_of_the_world(error: Exception) -> bool:
    """Tell what its message explains from what needs a traceback."""
    from alembic.util import CommandError
    from asyncpg import PostgresError  # type: ignore[import-untyped]  # it ships no types
    from sqlalchemy.exc import DBAPIError

    from crmsync_server.rpc.server import AddressError
    from crmsync_server.store.embedded import EmbeddedPostgresError
    from crmsync_server.store.keys import KeyFileError
    from crmsync_server.web.server import HttpAddressError

    database = (CommandError, PostgresError, DBAPIError, EmbeddedPostgresError)
    return isinstance(error, (*database, AddressError, HttpAddressError, KeyFileError, OSError))
