"""crmsync-server: serve, migrate, sandbox, token, demo."""

import typer

from crmsync_server.cli.demo import demo
from crmsync_server.cli.migrate import migrate
from crmsync_server.cli.sandbox import sandbox
from crmsync_server.cli.serve import serve
from crmsync_server.cli.token import token

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and so secrets
    help="Keeps an organization's contacts in step with its CRMs.",
)
for verb in (serve, migrate, sandbox, token, demo):
    cli.command()(verb)


def main() -> None:
    """Run the verb that the command line names."""
    cli(prog_name="crmsync-server")


if __name__ == "__main__":
    main()
