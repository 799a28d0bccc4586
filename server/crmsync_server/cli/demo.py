"""crmsync-server demo."""

import typer


def demo() -> None:
    """Push 10,000 contacts to two simulated CRMs that misbehave, and balance the account."""
    from crmsync_server.demo import run

    raise typer.Exit(run())
