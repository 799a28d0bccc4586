"""Connections through a real channel: tested without writing, delivered to, replaced, deleted."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest
from pydantic import SecretStr

from crmsync.v1 import connection_pb2, contact_sync_pb2, sync_service_pb2
from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync_client import CrmsyncClient, Failure
from crmsync_server.app import authenticator_of, serving
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service import accounts
from tests.service.accounts import Account
from tests.service.calls import create, failure, finished
from tests.service.conftest import SECRET

KEYS = {
    name: base64.b64encode(bytes([number] * 32)).decode()
    for number, name in enumerate(("one", "two"))
}
CRMS = ("hubspot", "brevo", "mautic", "n8n", "zoho")
VALID, INVALID = pb.CREDENTIALS_STATUS_VALID, pb.CREDENTIALS_STATUS_INVALID
UNREACHABLE = pb.CREDENTIALS_STATUS_UNREACHABLE


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database, and at no account of any CRM."""
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database_url": database_url,
            "database_pool_size": 5,
            "grpc_address": "127.0.0.1:0",
            "drain_timeout": "5",
            "engine_backoff_base": "0.05",
            "engine_poll_interval": "0.5",
            "allowed_networks": "127.0.0.0/8",
        }
    )


@pytest.fixture
async def replica(settings: Settings, client: CrmsyncClient) -> AsyncIterator[CrmsyncClient]:
    """Run a second server on the same database, and connect to it."""
    del client
    async with (
        serving(settings, authenticator_of(settings, SECRET)) as running,
        CrmsyncClient(f"127.0.0.1:{running.port}") as connected,
    ):
        yield connected


def written(sandbox: Sandbox) -> int:
    """Return how often any CRM was written to, by their own counts."""
    counts = [simulator.calls.as_json()["writes"] for simulator in sandbox.simulators.values()]
    return sum(count for count in counts if isinstance(count, int))


def holds_one(sandbox: Sandbox, crm: str) -> None:
    """Insist that a CRM holds one contact."""
    assert len([*sandbox.simulators[crm].contacts()]) == 1


def token(org: str, role: Role = Role.ADMIN) -> str:
    """Return a token of somebody in another organization."""
    return mint(SECRET, Caller(org, "tester", frozenset({role})), timedelta(minutes=5))


async def queue(client: CrmsyncClient, contact_id: str, crm: str) -> str:
    """Queue a contact and return the session."""
    request = sync_service_pb2.QueueContactRequest(contact_id=contact_id, crm=crm)
    return (await client.sync.QueueContact(request)).session.id


async def status(client: CrmsyncClient, contact_id: str, crm: str) -> contact_sync_pb2.ContactSync:
    """Return how a contact stands at a CRM."""
    request = sync_service_pb2.GetContactSyncStatusRequest(contact_id=contact_id)
    return (await client.sync.GetContactSyncStatus(request)).contact_syncs[crm]


async def get(client: CrmsyncClient, connection_id: str) -> Connection:
    """Read a connection."""
    request = pb.GetConnectionRequest(connection_id=connection_id)
    return (await client.connections.GetConnection(request)).connection


async def is_under(client: CrmsyncClient, key_id: str) -> None:
    """Insist that the only connection's credentials are under this key."""
    listed = await client.connections.ListConnections(pb.ListConnectionsRequest())
    assert [one.key_id for one in listed.connections] == [key_id]


async def replace_secrets(client: CrmsyncClient, connection_id: str, account: Account) -> None:
    """Give a connection the credentials of an account."""
    request = pb.UpdateConnectionRequest(
        connection=Connection(id=connection_id, base_url=account.base_url),
        credentials=Credentials(secrets=account.secrets),
    )
    await client.connections.UpdateConnection(request)


@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize(
    ("account_of", "found"),
    [
        (accounts.good, VALID),
        (accounts.bad, INVALID),
        (accounts.unreachable, UNREACHABLE),
    ],
    ids=["valid", "invalid", "unreachable"],
)
async def test_credentials_are_tested_without_writing(
    client: CrmsyncClient,
    sandbox: Sandbox,
    crm: str,
    account_of: Callable[[Sandbox, str], Account],
    found: pb.CredentialsStatus.ValueType,
) -> None:
    """Given or stored; the CRM counts no write, and the connection keeps what was found."""
    account = account_of(sandbox, crm)
    given = await client.connections.TestCredentials(account.given)
    assert given.status == found, given
    made = await account.connect(client)
    stored = await client.connections.TestCredentials(pb.TestCredentialsRequest(crm=crm))
    assert (stored.status, stored.crm) == (found, crm), stored
    assert stored.message
    assert (stored.error_code == "") is (found == VALID)
    health = pb.CredentialsStatus.Name(found).removeprefix("CREDENTIALS_STATUS_")
    words = {"VALID": "HEALTHY", "INVALID": "UNHEALTHY"}
    after = await get(client, made.id)
    assert connection_pb2.ConnectionHealth.Name(after.health) == (
        f"CONNECTION_HEALTH_{words.get(health, health)}"
    )
    assert after.health_reason == stored.message
    assert written(sandbox) == 0


async def test_an_api_that_is_switched_off_is_no_matter_of_credentials(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The code says so."""
    sandbox.mautic.switches = sandbox.mautic.switches.model_copy(update={"api_enabled": False})
    told = await client.connections.TestCredentials(accounts.good(sandbox, "mautic").given)
    assert (told.status, told.error_code) == (INVALID, "API_DISABLED")


@pytest.mark.parametrize("crm", CRMS)
async def test_contacts_are_delivered_through_a_connection(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """From the moment that it is there; before, the CRM is disabled."""
    contact_id = await create(client)
    refused = await failure(queue(client, contact_id, crm))
    assert refused.reason == "CRM_DISABLED"
    await accounts.good(sandbox, crm).connect(client)
    ended = await finished(client, await queue(client, contact_id, crm))
    assert ended.progress.synced == 1
    await eventually(lambda: holds_one(sandbox, crm))  # n8n answers before it begins


async def test_refused_credentials_hold_the_work_until_they_are_replaced(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Nothing burns a retry; the connection says what is wrong, and its work goes on by itself."""
    made = await accounts.bad(sandbox, "hubspot").connect(client)
    contact_id = await create(client)
    session_id = await queue(client, contact_id, "hubspot")

    async def unhealthy() -> None:
        found = await get(client, made.id)
        assert found.health == connection_pb2.CONNECTION_HEALTH_UNHEALTHY
        assert found.health_reason

    async def queued() -> None:
        waiting = await status(client, contact_id, "hubspot")
        assert waiting.sync_status == contact_sync_pb2.SYNC_STATUS_QUEUED
        assert waiting.retry_count == 0

    await eventually(unhealthy)
    await eventually(queued)
    await replace_secrets(client, made.id, accounts.good(sandbox, "hubspot"))
    assert (await finished(client, session_id)).progress.synced == 1


async def test_a_successful_test_sets_a_held_lane_going(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The CRM takes the same credentials again: nobody has to wait for the next probe."""
    made = await accounts.good(sandbox, "brevo").connect(client)
    faults = sandbox.brevo.faults
    usual = faults.settings
    faults.settings = usual.model_copy(update={"token_expired": True})
    session_id = await queue(client, await create(client), "brevo")

    async def unhealthy() -> None:
        found = await get(client, made.id)
        assert found.health == connection_pb2.CONNECTION_HEALTH_UNHEALTHY

    await eventually(unhealthy)
    faults.settings = usual
    told = await client.connections.TestCredentials(pb.TestCredentialsRequest(crm="brevo"))
    assert told.status == VALID
    assert (await finished(client, session_id)).progress.synced == 1


async def test_a_change_takes_effect_at_every_replica(
    client: CrmsyncClient, replica: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Also where it was asked for and kept before."""
    contact_id = await create(client)
    assert (await failure(queue(replica, contact_id, "brevo"))).reason == "CRM_DISABLED"
    made = await accounts.good(sandbox, "brevo").connect(client)

    async def usable() -> str:
        try:
            return await queue(replica, contact_id, "brevo")
        except grpc.aio.AioRpcError as error:
            raise AssertionError from error

    session_id = await eventually(usable)
    assert (await finished(replica, session_id)).progress.synced == 1
    await client.connections.DeleteConnection(pb.DeleteConnectionRequest(connection_id=made.id))

    async def unusable() -> None:
        told = await asyncio.gather(queue(replica, contact_id, "brevo"), return_exceptions=True)
        refused = [one for one in told if isinstance(one, grpc.aio.AioRpcError)]
        assert [Failure.of(error).reason for error in refused] == ["CRM_DISABLED"]

    await eventually(unusable, within=6)


async def test_two_replicas_deliver_with_one_token(
    client: CrmsyncClient, replica: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Mautic's refresh token rotates: a second renewal would end the connection for good."""
    await accounts.good(sandbox, "mautic").connect(client)
    for number in range(4):
        mine, theirs = (client, replica) if number % 2 else (replica, client)
        await theirs.connections.TestCredentials(pb.TestCredentialsRequest(crm="mautic"))
        contact_id = await create(mine, f"p{number}@example.com")
        assert (await finished(mine, await queue(mine, contact_id, "mautic"))).progress.synced == 1
    calls = sandbox.mautic.calls.as_json()["calls"]
    assert isinstance(calls, list)
    renewals = [call["count"] for call in calls if call["path"] == "/oauth/v2/token"]
    assert renewals == [1]


async def test_credentials_outlive_the_key_that_they_came_under(
    settings: Settings, sandbox: Sandbox
) -> None:
    """A server that starts with a new key in front moves them, and they still open the CRM."""
    for keys, found in (("one", "one"), ("two,one", "two"), ("two", "two")):
        told = ",".join(f"{key_id}:{KEYS[key_id]}" for key_id in keys.split(","))
        server = settings.model_copy(update={"encryption_keys": SecretStr(told)})
        async with (
            serving(server, authenticator_of(server, SECRET)) as running,
            CrmsyncClient(f"127.0.0.1:{running.port}") as client,
        ):
            if keys == "one":
                await accounts.good(sandbox, "brevo").connect(client)
            await eventually(partial(is_under, client, found))
            tested = await client.connections.TestCredentials(
                pb.TestCredentialsRequest(crm="brevo")
            )
            assert tested.status == VALID


async def test_an_organization_uses_its_own_connection_alone(
    client: CrmsyncClient, target: str, sandbox: Sandbox
) -> None:
    """Another one neither sees it nor delivers through it, and has one of its own."""
    made = await accounts.good(sandbox, "brevo").connect(client)
    async with CrmsyncClient(target, token=token("other")) as other:
        refused = await failure(get(other, made.id))
        assert refused.reason == "CONNECTION_NOT_FOUND"
        listed = await other.connections.ListConnections(pb.ListConnectionsRequest())
        assert list(listed.connections) == []
        contact_id = await create(other)
        assert (await failure(queue(other, contact_id, "brevo"))).reason == "CRM_DISABLED"
        await accounts.bad(sandbox, "brevo").connect(other)
        told = await other.connections.TestCredentials(pb.TestCredentialsRequest(crm="brevo"))
        assert told.status == INVALID
    told = await client.connections.TestCredentials(pb.TestCredentialsRequest(crm="brevo"))
    assert told.status == VALID


@pytest.mark.parametrize("role", [Role.READER, Role.WRITER])
async def test_who_is_no_admin_may_read_connections_only(
    client: CrmsyncClient, target: str, sandbox: Sandbox, role: Role
) -> None:
    """Credentials are an administrator's."""
    made = await accounts.good(sandbox, "brevo").connect(client)
    async with CrmsyncClient(target, token=token("default", role)) as other:
        assert await get(other, made.id) == made
        for call in (
            accounts.good(sandbox, "hubspot").connect(other),
            other.connections.TestCredentials(pb.TestCredentialsRequest(crm="brevo")),
            other.connections.DeleteConnection(pb.DeleteConnectionRequest(connection_id=made.id)),
            replace_secrets(other, made.id, accounts.good(sandbox, "brevo")),
        ):
            assert (await failure(call)).reason == "ROLE_REQUIRED"


async def test_an_address_of_a_network_that_is_not_allowed_is_refused(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Whether it stands in the URL or a name leads there."""
    inside = replace(accounts.good(sandbox, "mautic"), base_url="http://10.0.0.1")
    assert (await failure(inside.connect(client))).reason == "URL_NOT_ALLOWED"
