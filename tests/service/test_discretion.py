"""Credentials never show: a server is handed a canary and made to fail, and everything is searched.

It runs as a process of its own, with one adapter that raises what it was given, so that its log is
what an operator would read.
"""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync.v1.crm_field_pb2 import CRM_FIELD_TYPE_NUMBER, NewCrmField
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from tests.eventually import eventually
from tests.service.accounts import NOWHERE, Account
from tests.service.calls import create
from tests.service.test_connection import get, queue

CANARY = "canary-5f0c2a91"
FORMS = (
    CANARY,
    CANARY.encode().hex(),
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    base64.b64encode(f"ada:{CANARY}".encode()).decode().rstrip("="),
)

# Brevo's adapter says what it knows whenever it is asked anything.
PROGRAM = """
from crmsync_server.crm import brevo, brevo_directory

async def blab(self, *_):
    account = self._brevo.caller.account
    try:
        raise KeyError(account.secrets["api_key"])
    except KeyError as error:
        raise RuntimeError(f"{account.secrets} {self._brevo.caller.headers}") from error

brevo.BrevoAdapter.check = blab
brevo.BrevoAdapter.push = blab
brevo_directory.BrevoDirectory.fields = blab

from crmsync_server.__main__ import main
main()
"""


@dataclass
class Told:
    """Everything that a server gave away.

    heard: replies, errors and their trailers.
    """

    client: CrmsyncClient
    target: str
    heard: list[str] = field(default_factory=list)

    async def call(self, call: Awaitable[object]) -> object:
        """Make a call, and remember what came back."""
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            self.heard.append(repr((error.code(), error.details(), error.trailing_metadata())))
            return None
        self.heard.append(str(answer))
        return answer


@asynccontextmanager
async def running(database_url: str, data_dir: Path) -> AsyncIterator[tuple[Told, list[str]]]:
    """Run the server; the list has its output when it has ended."""
    env = {key: value for key, value in os.environ.items() if "CRMSYNC_" not in key} | {
        "CRMSYNC_DATABASE_URL": database_url,
        "CRMSYNC_DATA_DIR": str(data_dir),
        "CRMSYNC_GRPC_ADDRESS": "127.0.0.1:0",
        "CRMSYNC_ALLOWED_NETWORKS": "127.0.0.0/8",
        "CRMSYNC_ENGINE_POLL_INTERVAL": "0.2",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "serve"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output: list[str] = []
    try:
        assert process.stdout
        target = (await process.stdout.readline()).decode().split()[3]
        async with CrmsyncClient(target) as client:
            yield Told(client, target), output
    finally:
        process.terminate()
        output += [part.decode() for part in await process.communicate()]


async def dump(url: str) -> str:
    """Return every row of every table, as text."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET crmsync.org_id = '*'")
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = CAST('public' AS regnamespace)"
        )
        rows = [
            await connection.fetch(f'SELECT CAST(t AS text) FROM "{table["relname"]}" AS t')  # noqa: S608 - a table of ours
            for table in tables
        ]
    finally:
        await connection.close()
    return "\n".join(str(row[0]) for some in rows for row in some)


async def described(target: str) -> str:
    """Return what reflection says of the service."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="crmsync.v1.ConnectionService"
        )
        return "".join([str(answer) async for answer in stub.ServerReflectionInfo(iter([asked]))])


def failing(sandbox: Sandbox) -> list[Account]:
    """Return accounts that fail in one way each, all with the canary."""
    user = {"username": "ada", "password": CANARY}
    return [
        Account("hubspot", sandbox.urls["hubspot"], {"token": CANARY}),  # refused
        Account("mautic", sandbox.urls["mautic"], user),  # refused, and sent as base64
        Account("mautic", NOWHERE, user),  # unreachable
        Account("mautic", "http://10.0.0.1", user),  # not allowed
        Account("mautic", f"http://ada:{CANARY}@example.com", user),  # in the wrong place
        Account("brevo", sandbox.urls["brevo"], {"api_key": CANARY}),  # the adapter fails
        Account("hubspot", sandbox.urls["hubspot"], {"token": f"{CANARY} x"}),  # illegal
        Account("hubspot", sandbox.urls["hubspot"], {"toke": CANARY}),  # misspelt
        Account("hubspot", sandbox.urls["hubspot"], {"token": f"{CANARY}\0"}),  # not kept
    ]


async def ask(told: Told, crm: str) -> None:
    """Ask an account what it is, in every way."""
    stub = told.client.connections
    field = NewCrmField(name="score", type=CRM_FIELD_TYPE_NUMBER)
    await told.call(stub.ValidateConnection(pb.ValidateConnectionRequest(crm=crm)))
    await told.call(stub.RefreshToken(pb.RefreshTokenRequest(crm=crm)))
    await told.call(stub.GetPermissions(pb.GetPermissionsRequest(crm=crm)))
    await told.call(stub.GetOrganization(pb.GetOrganizationRequest(crm=crm)))
    await told.call(stub.ListModules(pb.ListModulesRequest(crm=crm)))
    await told.call(stub.ListFields(pb.ListFieldsRequest(crm=crm)))
    await told.call(stub.CreateFields(pb.CreateFieldsRequest(crm=crm, fields=[field])))
    await told.call(stub.ValidateFields(pb.ValidateFieldsRequest(crm=crm)))


@pytest.mark.slow
async def test_a_canary_among_the_credentials_is_seen_nowhere(
    database_url: str, data_dir: Path, sandbox: Sandbox
) -> None:
    """Not in the log, a reply, an error, its trailers, reflection, or the database."""
    async with running(database_url, data_dir) as (told, output):
        client = told.client
        contact_id = await create(client)
        for account in failing(sandbox):
            await told.call(client.connections.TestCredentials(account.given))
            await told.call(account.connect(client))
            stored = pb.TestCredentialsRequest(crm=account.crm)
            await told.call(client.connections.TestCredentials(stored))
            await ask(told, account.crm)
            await told.call(queue(client, contact_id, account.crm))
        listed = await client.connections.ListConnections(pb.ListConnectionsRequest())
        assert [one.crm for one in listed.connections] == ["brevo", "hubspot", "mautic"]
        for one in listed.connections:
            update = pb.UpdateConnectionRequest(
                connection=Connection(id=one.id, version=99, display_name="B"),
                credentials=Credentials(secrets={"token": CANARY}),
                request_id=str(uuid4()),
            )
            await told.call(client.connections.UpdateConnection(update))
            await told.call(get(client, one.id))
        await eventually(lambda: _closed(database_url))
        told.heard += [str(listed), await described(told.target)]
        dumped = await dump(database_url)
    log = "".join(output)
    assert "the lane is closed" in log
    assert "credentials could not be tested" in log
    assert "AdapterFaultError" in log
    assert "UNHEALTHY" in dumped
    for name, text in (("log", log), ("replies", "".join(told.heard)), ("database", dumped)):
        for form in FORMS:
            assert form not in text, (name, text[max(0, text.find(form) - 300) :][:600])
    key = (data_dir / "encryption-keys").read_text().strip().partition(":")[2]
    assert key not in log + "".join(told.heard) + dumped


async def _closed(url: str) -> None:
    """Insist that HubSpot's lane was closed because of its credentials."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET crmsync.org_id = '*'")
    code = await connection.fetchval("SELECT pause_code FROM lanes WHERE crm = 'hubspot'")
    await connection.close()
    assert code == "CREDENTIALS_REFUSED"
