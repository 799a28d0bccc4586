"""The integration plan of WO-018, step by step, against a running server and simulated CRMs."""

from pathlib import Path

import pytest

from crmsync.v1 import connection_service_pb2, sync_service_pb2
from crmsync.v1.connection_pb2 import CONNECTION_HEALTH_UNHEALTHY, Connection, Credentials
from crmsync.v1.contact_service_pb2 import ListContactsRequest
from crmsync.v1.contact_sync_pb2 import (
    PRIORITY_HIGH,
    SYNC_STATUS_COMPLETE,
    SYNC_STATUS_QUEUED,
    SYNC_STATUS_UNSPECIFIED,
    ContactSync,
)
from crmsync.v1.session_pb2 import SESSION_STATE_SUCCEEDED
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service import accounts
from tests.service.calls import create, finished, import_many

CRMS = ("brevo", "hubspot", "mautic", "n8n", "zoho")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database; organizations bring their own accounts."""
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


async def standings(client: CrmsyncClient, contact_id: str) -> dict[str, ContactSync]:
    """Return how a contact stands at every CRM."""
    request = sync_service_pb2.GetContactSyncStatusRequest(contact_id=contact_id)
    return dict((await client.sync.GetContactSyncStatus(request)).contact_syncs)


@pytest.mark.parametrize("crm", CRMS)
async def test_a_contact_is_queued_and_followed_to_complete(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """At this CRM; at the others it was never queued."""
    await accounts.good(sandbox, crm).connect(client)
    contact_id = await create(client, first_name="Ada", last_name="Lovelace")
    request = sync_service_pb2.QueueContactRequest(
        contact_id=contact_id, crm=crm, priority=PRIORITY_HIGH
    )
    queued = await client.sync.QueueContact(request)
    assert queued.contact_sync.sync_status == SYNC_STATUS_QUEUED
    assert queued.contact_sync.HasField("estimated_processing_time")
    assert (await finished(client, queued.session.id)).state == SESSION_STATE_SUCCEEDED
    found = await standings(client, contact_id)
    assert found[crm].sync_status == SYNC_STATUS_COMPLETE
    assert found[crm].crm_contact_id
    assert found[crm].HasField("synced_time")
    others = {found[other].sync_status for other in CRMS if other != crm}
    assert others == {SYNC_STATUS_UNSPECIFIED}
    assert len([*sandbox.simulators[crm].contacts()]) == 1


@pytest.mark.parametrize("crm", CRMS)
async def test_fifty_contacts_are_queued_together_and_all_followed(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """One answer for each, one session for all, and the statistics agree."""
    await accounts.good(sandbox, crm).connect(client)
    await import_many(client, 50)
    listed = await client.contacts.ListContacts(ListContactsRequest(page_size=100))
    ids = [contact.id for contact in listed.contacts]
    request = sync_service_pb2.BulkQueueContactsRequest(contact_ids=ids, crm=crm)
    answer = await client.sync.BulkQueueContacts(request)
    assert (answer.queued, answer.skipped, answer.errors, len(answer.results)) == (50, 0, 0, 50)
    end = await finished(client, answer.session.id)
    assert (end.state, end.progress.synced) == (SESSION_STATE_SUCCEEDED, 50)
    asked = sync_service_pb2.GetSyncStatsRequest(crm=crm)
    stats = (await client.sync.GetSyncStats(asked)).stats
    assert (stats.total_contacts, stats.synced, stats.success_rate) == (50, 50, 1.0)
    assert len([*sandbox.simulators[crm].contacts()]) == 50


@pytest.mark.parametrize("crm", ["brevo", "hubspot", "mautic"])
async def test_refused_credentials_are_seen_among_the_failures_fixed_and_retried(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Nothing is lost meanwhile, and no retry is burnt."""
    connection = await accounts.bad(sandbox, crm).connect(client)
    contact_id = await create(client)
    queued = await client.sync.QueueContact(
        sync_service_pb2.QueueContactRequest(contact_id=contact_id, crm=crm)
    )

    async def failed() -> sync_service_pb2.SyncFailure:
        request = sync_service_pb2.ListSyncFailuresRequest(crm=crm)
        answer = await client.sync.ListSyncFailures(request)
        assert answer.total_size == 1
        return answer.failures[0]

    failure = await eventually(failed)
    assert (failure.contact_id, failure.error.code) == (contact_id, "CREDENTIALS_REFUSED")
    assert (failure.retry_count, failure.can_retry) == (0, True)
    read = connection_service_pb2.GetConnectionRequest(connection_id=connection.id)
    health = (await client.connections.GetConnection(read)).connection.health
    assert health == CONNECTION_HEALTH_UNHEALTHY
    retried = await client.sync.RetryContact(
        sync_service_pb2.RetryContactRequest(contact_id=contact_id, crm=crm, reset_retry_count=True)
    )
    await client.connections.UpdateConnection(
        connection_service_pb2.UpdateConnectionRequest(
            connection=Connection(id=connection.id),
            credentials=Credentials(secrets=accounts.good(sandbox, crm).secrets),
        )
    )
    for session in (queued.session, retried.session):
        assert (await finished(client, session.id)).progress.synced == 1
    assert (await standings(client, contact_id))[crm].sync_status == SYNC_STATUS_COMPLETE
    request = sync_service_pb2.ListSyncFailuresRequest(crm=crm)
    assert (await client.sync.ListSyncFailures(request)).total_size == 0
