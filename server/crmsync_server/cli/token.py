"""crmsync-server token."""

from typing import Annotated

import typer

from crmsync_server.cli.options import DataDir
from crmsync_server.cli.settings import read_settings


def token(
    *,
    org: Annotated[str, typer.Option(help="The organization's id.")] = "default",
    role: Annotated[
        list[str] | None,
        typer.Option(help="reader, writer or admin, repeatable. Unset: admin.", show_default=False),
    ] = None,
    subject: Annotated[str, typer.Option(help="Who the token is for.")] = "developer",
    ttl: Annotated[str, typer.Option(help="Lifetime: seconds or ISO 8601.")] = "PT12H",
    subscription: Annotated[
        bool, typer.Option("--subscription", help="The token shows a subscription.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Mint a token, with CRMSYNC_JWT_SECRET or the data directory's development secret."""
    from crmsync_server.cli import minting

    settings = read_settings(data_dir=data_dir)
    lifetime = minting.lifetime(ttl)
    caller = minting.caller(org, subject, role or ["admin"], subscribed=subscription)
    typer.echo(minting.minted(settings, caller, lifetime))
