"""crmsync-server serve."""

from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from crmsync_server.cli.options import DataDir
from crmsync_server.cli.running import refuse, run
from crmsync_server.cli.settings import read_settings
from crmsync_server.cli.simulated import simulating
from crmsync_server.development import development_secret
from crmsync_server.stopping import told_to_stop

if TYPE_CHECKING:
    from crmsync_server.app import Serving
    from crmsync_server.settings import Settings


def serve(
    *,
    data_dir: DataDir = None,
    grpc: Annotated[
        str | None, typer.Option(help="Where to listen, HOST:PORT.", show_default=False)
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(help="Where to listen for webhooks, HOST:PORT.", show_default=False),
    ] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Simulate the CRMs, in this process.")
    ] = False,
) -> None:
    """Serve gRPC and deliver what is queued, until SIGTERM or Ctrl-C."""
    settings = read_settings(data_dir=data_dir, grpc_address=grpc, http_address=http)
    if not settings.authenticates and not is_loopback(settings.grpc_address):
        refuse(
            f"Without authentication only loopback is served, not {settings.grpc_address}: set "
            "CRMSYNC_JWT_SECRET, CRMSYNC_JWKS_URL or CRMSYNC_JWKS_FILE, or use 127.0.0.1:50051."
        )
    run(settings, _serve(settings, simulated=sandbox))


def is_loopback(address: str) -> bool:
    """Tell whether only programs on this machine can reach `host:port`."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _serve(settings: "Settings", *, simulated: bool) -> None:
    from crmsync_server.app import authenticator_of, serving
    from crmsync_server.garbage import tame

    secret = None if settings.authenticates else development_secret(settings.data_dir)
    with told_to_stop() as stop:
        async with AsyncExitStack() as stack:
            if simulated:
                settings = await stack.enter_async_context(simulating(settings))
            authenticator = authenticator_of(settings, secret)
            running = await stack.enter_async_context(serving(settings, authenticator))
            tame()
            typer.echo(_welcome(settings, running))
            await stop.wait()
            typer.echo("crmsync stops: what is under way ends first; Ctrl-C again does not wait")


def _welcome(settings: "Settings", running: "Serving") -> str:
    where = settings.grpc_address
    if not where.startswith("unix:"):
        where = f"{where.rpartition(':')[0]}:{running.port}"
    access = "" if settings.authenticates else ", without authentication and so on loopback only"
    gates = f"{where} (gRPC, plaintext){access}"
    if settings.http_address is not None:
        host = settings.http_address.rpartition(":")[0]
        gates += f"\nand on {host}:{running.http_port} (HTTP: webhooks, metrics)"
    return f"crmsync listens on {gates}"
