"""crmsync-server: serve, migrate, sandbox, token, demo.

Each verb imports what it needs when it is called: a token is minted without loading a server.
"""

# ruff: noqa: PLC0415 - as the first paragraph says

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from crmsync_server.development import development_secret
from crmsync_server.stopping import told_to_stop

if TYPE_CHECKING:
    from crmsync_server.app import Serving
    from crmsync_server.sandbox.server import Sandbox
    from crmsync_server.settings import Settings

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130
_LOOPBACK = "127.0.0.0/8"

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and so secrets
    help="Keeps an organization's contacts in step with its CRMs.",
)

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the embedded PostgreSQL.", show_default=False)
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]


@cli.command()
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
    settings = _settings(data_dir=data_dir, grpc_address=grpc, http_address=http)
    if not settings.authenticates and not is_loopback(settings.grpc_address):
        _refuse(
            f"Without authentication only loopback is served, not {settings.grpc_address}: set "
            "CRMSYNC_JWT_SECRET, CRMSYNC_JWKS_URL or CRMSYNC_JWKS_FILE, or use 127.0.0.1:50051."
        )
    _run(settings, _serve(settings, simulated=sandbox))


@cli.command()
def migrate(*, data_dir: DataDir = None) -> None:
    """Bring the database to the schema of this version; `serve` does so too."""
    settings = _settings(data_dir=data_dir)
    _run(settings, _migrate(settings))


@cli.command()
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
    _run(_settings(), _sandbox(ports))


@cli.command()
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
    from pydantic import TypeAdapter, ValidationError

    from crmsync_server.rpc.auth import Caller, Role
    from crmsync_server.rpc.tokens import Claims, is_org_id, is_subject, mint
    from crmsync_server.settings.kinds import Duration

    settings = _settings(data_dir=data_dir)
    try:
        lifetime = TypeAdapter(Duration).validate_python(ttl)
    except ValidationError:
        _refuse(f"--ttl takes a positive number of seconds, or a duration like PT12H: not {ttl}.")
    roles = {str(known): known for known in Role}
    if unknown := sorted(set(role or []) - set(roles)):
        _refuse(f"--role takes one of {', '.join(roles)}: not {', '.join(unknown)}.")
    if not is_org_id(org):
        _refuse("--org takes 1 to 64 printable characters without a slash, and no asterisk alone.")
    if not is_subject(subject):
        _refuse("--subject takes at most 256 printable characters.")
    granted = frozenset(roles[name] for name in role or ["admin"])
    caller = Caller(org, subject, granted, subscribed=subscription)
    claims = Claims(
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        org=settings.org_claim,
        roles=settings.roles_claim,
    )
    typer.echo(mint(_signing_secret(settings), caller, lifetime, claims))


@cli.command()
def demo() -> None:
    """Push 10,000 contacts to two simulated CRMs that misbehave, and balance the account."""
    from crmsync_server.demo import run

    raise typer.Exit(run())


def main() -> None:
    """Run the verb that the command line names."""
    cli(prog_name="crmsync-server")


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
                settings = await stack.enter_async_context(_simulating(settings))
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


@asynccontextmanager
async def _simulating(settings: "Settings") -> "AsyncIterator[Settings]":
    """Run the simulators, and yield the settings that lead to them."""
    from pydantic import SecretStr

    from crmsync_server.sandbox.server import Sandbox

    async with Sandbox() as simulators:
        yield settings.model_copy(
            update={
                "allowed_networks": (*settings.allowed_networks, ip_network(_LOOPBACK)),
                "hubspot_token": SecretStr(simulators.hubspot.settings.token),
                "hubspot_base_url": simulators.urls["hubspot"],
                "brevo_api_key": SecretStr(simulators.brevo.settings.api_key),
                "brevo_base_url": simulators.urls["brevo"],
                "brevo_list_id": settings.brevo_list_id or 1,
                "mautic_base_url": simulators.urls["mautic"],
                "mautic_username": simulators.mautic.settings.username,
                "mautic_password": SecretStr(simulators.mautic.settings.password),
                "mautic_client_id": None,
                "mautic_client_secret": None,
                "n8n_webhook_url": simulators.urls["n8n"],
                "n8n_secrets": {
                    name: SecretStr(secret) for name, secret in _n8n_secrets(simulators).items()
                },
                "n8n_options": {**settings.n8n_options, "auth": "header"},
                "zoho_base_url": simulators.urls["zoho"],
                "zoho_client_id": simulators.zoho.settings.client_id,
                "zoho_client_secret": SecretStr(simulators.zoho.settings.client_secret),
                "zoho_refresh_token": SecretStr(simulators.zoho.settings.refresh_token),
                "trading_base_url": simulators.urls["trading"],
                "trading_username": simulators.trading.settings.username,
                "trading_password": SecretStr(simulators.trading.settings.password),
                "trading_token": None,
                "whatsapp_base_url": simulators.urls["whatsapp"],
                "whatsapp_access_token": SecretStr(simulators.whatsapp.settings.access_token),
                "whatsapp_app_secret": SecretStr(simulators.whatsapp.settings.app_secret),
                "whatsapp_waba_id": simulators.whatsapp.settings.waba_id,
            }
        )


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


async def _sandbox(ports: Mapping[str, int]) -> None:
    from crmsync_server.sandbox.server import Sandbox

    with told_to_stop() as stop:
        async with Sandbox(ports=ports) as simulators:
            typer.echo(_ways_to(simulators))
            await stop.wait()


def _ways_to(simulators: "Sandbox") -> str:
    """Say where each simulated CRM is, and then what leads a server there."""
    urls = simulators.urls
    places = "\n".join(f"{crm} is simulated at {url}" for crm, url in urls.items())
    return f"""\
{places}
A server delivers there with:
export CRMSYNC_ALLOWED_NETWORKS={_LOOPBACK}
export CRMSYNC_HUBSPOT_BASE_URL={urls["hubspot"]}
export CRMSYNC_HUBSPOT_TOKEN={simulators.hubspot.settings.token}
export CRMSYNC_BREVO_BASE_URL={urls["brevo"]}
export CRMSYNC_BREVO_API_KEY={simulators.brevo.settings.api_key}
export CRMSYNC_BREVO_LIST_ID=1
export CRMSYNC_MAUTIC_BASE_URL={urls["mautic"]}
export CRMSYNC_MAUTIC_USERNAME={simulators.mautic.settings.username}
export CRMSYNC_MAUTIC_PASSWORD={simulators.mautic.settings.password}
export CRMSYNC_N8N_WEBHOOK_URL={urls["n8n"]}
export CRMSYNC_N8N_SECRETS='{json.dumps(_n8n_secrets(simulators))}'
export CRMSYNC_N8N_OPTIONS='{{"auth": "header"}}'
export CRMSYNC_ZOHO_BASE_URL={urls["zoho"]}
export CRMSYNC_ZOHO_CLIENT_ID={simulators.zoho.settings.client_id}
export CRMSYNC_ZOHO_CLIENT_SECRET={simulators.zoho.settings.client_secret}
export CRMSYNC_ZOHO_REFRESH_TOKEN={simulators.zoho.settings.refresh_token}
export CRMSYNC_TRADING_BASE_URL={urls["trading"]}
export CRMSYNC_TRADING_USERNAME={simulators.trading.settings.username}
export CRMSYNC_TRADING_PASSWORD={simulators.trading.settings.password}
export CRMSYNC_WHATSAPP_BASE_URL={urls["whatsapp"]}
export CRMSYNC_WHATSAPP_ACCESS_TOKEN={simulators.whatsapp.settings.access_token}
export CRMSYNC_WHATSAPP_APP_SECRET={simulators.whatsapp.settings.app_secret}
export CRMSYNC_WHATSAPP_WABA_ID={simulators.whatsapp.settings.waba_id}"""


def _n8n_secrets(simulators: "Sandbox") -> dict[str, str]:
    """Return what a connection to the simulated n8n is told, in its adapter's words."""
    held = simulators.n8n.settings.credentials
    return {
        "header_name": held.header_name,
        "header_value": held.header_value,
        "signing_secret": held.signing_secret,
    }


def _settings(**told: object) -> "Settings":
    """Read the settings; what the command line tells comes before the environment."""
    from pydantic import ValidationError

    from crmsync_server.settings import Settings

    try:
        return Settings.model_validate(
            {name: value for name, value in told.items() if value is not None}
        )
    except ValidationError as error:
        _refuse("\n".join(_wrong(e["loc"], e["msg"]) for e in error.errors()))


def _wrong(place: tuple[int | str, ...], message: str) -> str:
    """Say which variable is wrong, without its value: it may be a secret."""
    told = message.removeprefix("Value error, ")
    return f"CRMSYNC_{str(place[0]).upper()}: {told}" if place else told


def _signing_secret(settings: "Settings") -> str:
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    if settings.authenticates:
        _refuse("This server accepts tokens of the issuer whose keys it was given, and no others.")
    try:
        return development_secret(settings.data_dir)
    except OSError as error:
        _refuse(str(error))


def _refuse(reason: str) -> NoReturn:
    typer.echo(f"crmsync-server: {reason}", err=True)
    raise typer.Exit(_MISUSED)


def _run(settings: "Settings", main: Coroutine[object, object, None]) -> None:
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


if __name__ == "__main__":
    main()
