"""The verbs of crmsync-server, as a shell runs them."""

import asyncio
import os
import resource
import shlex
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from crmsync.v1 import contact_pb2
from crmsync.v1.contact_service_pb2 import ListContactsRequest
from crmsync.v1.session_service_pb2 import WatchSessionRequest
from crmsync.v1.sync_service_pb2 import QueueAllContactsRequest
from crmsync_client import CrmsyncClient
from crmsync_server.cli.serve import is_loopback
from crmsync_server.store.migrations import head

READY_SECONDS = 3.0
CRMS = ("hubspot", "brevo", "mautic", "n8n", "zoho", "trading", "whatsapp")
ANY_PORTS = [option for crm in CRMS for option in (f"--{crm}-port", 0)]
SECRET = "a secret for tests, long enough for HS256"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a verb ended, and what it said."""

    status: int
    out: str
    err: str


@asynccontextmanager
async def started(
    *arguments: object, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a verb, and end it by SIGTERM if it has not ended."""
    inherited = {key: value for key, value in os.environ.items() if "CRMSYNC_" not in key}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crmsync_server", *map(str, arguments)),
        env=inherited | dict(env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def run(*arguments: object, env: Mapping[str, str] | None = None) -> Ended:
    """Run a verb to its end."""
    async with started(*arguments, env=env) as process:
        return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait until a verb has ended."""
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def address(process: asyncio.subprocess.Process) -> str:
    """Return where `serve` says that it listens, once it does."""
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    assert line.startswith("crmsync listens on "), line
    return line.split()[3]


async def test_serve_is_ready_soon_and_stops_cleanly(data_dir: Path) -> None:
    """On processor time, all of it together: a busy machine does not stretch that."""
    await run("migrate", "--data-dir", data_dir)
    before = processor_seconds()
    async with started("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0") as process:
        target = await address(process)
        async with grpc.aio.insecure_channel(target) as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).status == 0
    assert processor_seconds() - before < READY_SECONDS
    assert not (data_dir / "postgres/postmaster.pid").exists()


async def test_serve_stops_by_ctrl_c_too(data_dir: Path) -> None:
    """SIGINT drains like SIGTERM."""
    async with started("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0") as process:
        await address(process)
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).status == 0


async def test_a_watcher_of_a_stopping_server_is_told_to_come_back(data_dir: Path) -> None:
    """Its stream ends with UNAVAILABLE, which clients take as a reason to try again."""
    # A CRM that is never reached: its session stays open.
    env = {
        "CRMSYNC_ALLOWED_NETWORKS": "127.0.0.0/8",
        "CRMSYNC_HUBSPOT_TOKEN": "t",
        "CRMSYNC_HUBSPOT_BASE_URL": "http://127.0.0.1:9",
    }
    serve = ("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0")
    async with started(*serve, env=env) as process:
        async with CrmsyncClient(await address(process)) as client:
            session = await open_session(client)
            states = aiter(client.sessions.WatchSession(WatchSessionRequest(session_id=session)))
            await anext(states)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for _ in states:
                    pass
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (await ended(process)).status == 0


async def test_the_sandbox_can_be_served_along(data_dir: Path) -> None:
    """`serve --sandbox` needs no credentials: a contact reaches a simulated CRM."""
    serve = ("serve", "--sandbox", "--data-dir", data_dir, "--grpc", "127.0.0.1:0")
    async with started(*serve) as process, CrmsyncClient(await address(process)) as client:
        session = await open_session(client)
        states = [state async for state in client.watch_session(session)]
        assert states[-1].progress.synced == 1


async def test_a_socket_is_named_by_its_path(data_dir: Path, tmp_path: Path) -> None:
    """It has no port to tell."""
    place = f"unix:{tmp_path / 's'}"
    async with started("serve", "--data-dir", data_dir, "--grpc", place) as process:
        assert await address(process) == place


async def test_without_authentication_only_loopback_is_served(data_dir: Path) -> None:
    """Anything else is refused before a port is opened, with what to do instead."""
    refused = await run("serve", "--data-dir", data_dir, "--grpc", "0.0.0.0:50051")
    assert refused.status == 2
    assert "CRMSYNC_JWT_SECRET" in refused.err
    assert "0.0.0.0:50051" in refused.err


@pytest.mark.parametrize(
    ("place", "loopback"),
    [
        ("127.0.0.1:50051", True),
        ("127.9.9.9:0", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/crmsync.sock", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("192.168.1.4:50051", False),
        ("crmsync.example:50051", False),
        (":50051", False),
    ],
)
def test_loopback_is_known_by_its_address(place: str, loopback: bool) -> None:  # noqa: FBT001 - a case
    """A name that is not `localhost` may mean any machine."""
    assert is_loopback(place) is loopback


async def test_a_port_that_is_taken_is_named(data_dir: Path) -> None:
    """Without a traceback, and with nothing left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = await run("serve", "--data-dir", data_dir, "--grpc", place)
    assert refused.status == 1
    assert f"Cannot bind to {place}: another program listens there" in refused.err
    assert "GRPC_VERBOSITY" not in refused.err
    assert "Traceback" not in refused.err
    assert not (data_dir / "postgres/postmaster.pid").exists()


async def test_a_wrong_setting_is_named_without_its_value(data_dir: Path) -> None:
    """By its variable; the value may be a secret."""
    env = {"CRMSYNC_JWT_SECRET": "hunter2", "CRMSYNC_GRPC_ADDRESS": "127.0.0.1:99999"}
    refused = await run("serve", "--data-dir", data_dir, env=env)
    assert refused.status == 2
    assert "CRMSYNC_JWT_SECRET" in refused.err
    assert "CRMSYNC_GRPC_ADDRESS" in refused.err
    assert "hunter2" not in refused.err


async def test_every_wrong_setting_is_named_at_once() -> None:
    """One that is no JSON hides none of the others."""
    env = {"CRMSYNC_BREVO_OPTIONS": "{x", "CRMSYNC_BREVO_LIST_ID": "0"}
    refused = await run("migrate", env=env)
    assert refused.status == 2
    assert "CRMSYNC_BREVO_OPTIONS: must be a JSON object of texts" in refused.err
    assert "CRMSYNC_BREVO_LIST_ID" in refused.err


async def test_a_database_that_is_away_is_an_error_without_its_password() -> None:
    """The server says so and ends; whoever runs it decides when to try again."""
    url = "postgresql://crmsync:hunter2@127.0.0.1:1/crmsync"
    refused = await run("serve", "--grpc", "127.0.0.1:0", env={"CRMSYNC_DATABASE_URL": url})
    assert refused.status == 1
    assert "CRMSYNC_DATABASE_URL: 127.0.0.1:1 cannot be reached" in refused.err
    assert "hunter2" not in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql://a:hunter2@db/crmsync", "must be postgresql://"),
        ("garbage", "must be postgresql://"),
        ("postgresql://a:hunter2/2@db:5432/crmsync", "written as %2F"),
    ],
)
async def test_a_url_of_no_postgresql_is_refused_by_its_variable(url: str, advice: str) -> None:
    """With how one is written, and without a piece of the password."""
    refused = await run("migrate", env={"CRMSYNC_DATABASE_URL": url})
    assert refused.status in {1, 2}
    assert "CRMSYNC_DATABASE_URL: " in refused.err
    assert advice in refused.err
    assert "hunter2" not in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize("verb", ["serve", "migrate", "token"])
async def test_a_data_directory_that_cannot_be_used_is_named(verb: str, tmp_path: Path) -> None:
    """By its setting, and with the reason."""
    (tmp_path / "file").touch()
    refused = await run(verb, "--data-dir", tmp_path / "file")
    assert refused.status in {1, 2}
    assert f"CRMSYNC_DATA_DIR: {tmp_path / 'file'} cannot be used" in refused.err
    assert "Traceback" not in refused.err


async def test_migrate_says_what_it_did(data_dir: Path) -> None:
    """The first run makes the schema, the second finds it."""
    first = await run("migrate", "--data-dir", data_dir)
    second = await run("migrate", "--data-dir", data_dir)
    assert first.out == f"The database was empty; it is now at revision {head()}.\n"
    assert second.out == f"The database is at revision {head()}; there was nothing to do.\n"


async def test_a_development_token_opens_the_server_of_its_data_directory(data_dir: Path) -> None:
    """Minted before the server ever ran; the secret is its owner's alone to read."""
    minted = await run("token", "--data-dir", data_dir, "--org", "acme", "--role", "reader")
    assert stat.S_IMODE((data_dir / "token-secret").stat().st_mode) == 0o600
    serve = ("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0")
    async with (
        started(*serve) as process,
        CrmsyncClient(await address(process), token=minted.out.strip()) as client,
    ):
        await client.contacts.ListContacts(ListContactsRequest())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.sync.QueueAllContacts(QueueAllContactsRequest(crm="hubspot"))
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_is_signed_with_the_secret_of_the_settings(data_dir: Path) -> None:
    """Then no token is no entry."""
    env = {"CRMSYNC_JWT_SECRET": SECRET}
    minted = await run("token", "--data-dir", data_dir, env=env)
    assert minted.status == 0
    serve = ("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0")
    async with started(*serve, env=env) as process:
        target = await address(process)
        async with CrmsyncClient(target, token=minted.out.strip()) as client:
            await client.contacts.ListContacts(ListContactsRequest())
        async with CrmsyncClient(target) as nobody:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await nobody.contacts.ListContacts(ListContactsRequest())
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "told",
    [
        ("--role", "boss"),
        ("--ttl", "soon"),
        ("--ttl", "-1"),
        ("--org", "*"),
        ("--org", ""),
        ("--org", " "),
        ("--org", "a/b"),
        ("--subject", "a\nb"),
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(
    data_dir: Path, told: tuple[str, str]
) -> None:
    """By the option that is wrong."""
    refused = await run("token", "--data-dir", data_dir, *told)
    assert refused.status == 2
    assert told[0] in refused.err


async def test_the_sandbox_says_where_each_crm_is() -> None:
    """One line for each, once they answer."""
    async with started("sandbox", *ANY_PORTS) as process:
        assert process.stdout
        lines = [(await process.stdout.readline()).decode() for _ in CRMS]
        places = [line.partition(" is simulated at http://127.0.0.1:")[0] for line in lines]
        assert places == list(CRMS)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).status == 0


async def test_a_server_delivers_to_the_sandbox_with_what_it_prints(data_dir: Path) -> None:
    """The lines that it prints are all the settings that a server needs."""
    async with started("sandbox", *ANY_PORTS) as sandbox:
        assert sandbox.stdout
        lines = [(await sandbox.stdout.readline()).decode().strip() for _ in range(31)]
        exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        env = dict(shlex.split(export)[0].split("=", 1) for export in exports)
        serve = ("serve", "--data-dir", data_dir, "--grpc", "127.0.0.1:0")
        async with (
            started(*serve, env=env) as process,
            CrmsyncClient(await address(process)) as client,
        ):
            for crm in ("hubspot", "mautic", "n8n", "zoho"):
                session = await open_session(client, crm)
                states = [state async for state in client.watch_session(session)]
                assert states[-1].progress.synced == 1


def processor_seconds() -> float:
    """Return what the processes that this one has waited for, and theirs, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def open_session(client: CrmsyncClient, crm: str = "hubspot") -> str:
    """Queue one contact for a CRM, and return the session."""
    await client.import_contacts([contact_pb2.Contact(email="ada@example.com")])
    queued = await client.sync.QueueAllContacts(QueueAllContactsRequest(crm=crm))
    return queued.session.id
