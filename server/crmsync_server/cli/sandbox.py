"""crmsync-server sandbox."""

from collections.abc import Mapping

import typer

from crmsync_server.cli.options import Port
from crmsync_server.cli.running import run
from crmsync_server.cli.settings import read_settings
from crmsync_server.cli.simulated import ways_to
from crmsync_server.stopping import told_to_stop


def sandbox(  # noqa: PLR0913 - an option for each CRM
    *,
    hubspot_port: Port = 9101,
    brevo_port: Port = 9102,
    mautic_port: Port = 9103,
    n8n_port: Port = 9104,
    zoho_port: Port = 9105,
    trading_port: Port = 9106,
    whatsapp_port: Port = 9107,
) -> None:
    """Run the simulated CRMs alone, until SIGTERM or Ctrl-C."""
    ports = {
        "hubspot": hubspot_port,
        "brevo": brevo_port,
        "mautic": mautic_port,
        "n8n": n8n_port,
        "zoho": zoho_port,
        "trading": trading_port,
        "whatsapp": whatsapp_port,
    }
    run(read_settings(), _sandbox(ports))


async def _sandbox(ports: Mapping[str, int]) -> None:
    from crmsync_server.sandbox.server import Sandbox

    with told_to_stop() as stop:
        async with Sandbox(ports=ports) as simulators:
            typer.echo(ways_to(simulators))
            await stop.wait()
