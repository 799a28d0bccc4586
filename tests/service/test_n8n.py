"""Contacts that are queued for n8n, through a real channel to a simulated workflow and back."""

from pathlib import Path

import pytest

from crmsync.v1 import contact_sync_pb2, session_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service.calls import create, finished, import_many, queue_all
from tests.service.conftest import SECRET


@pytest.fixture
def settings(database_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Point a server at the test's database and a workflow that answers with results."""
    held = sandbox.n8n.settings.credentials
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
            "n8n_webhook_url": f"{sandbox.urls['n8n']}-results",
            "n8n_secrets": {
                "header_name": held.header_name,
                "header_value": held.header_value,
                "signing_secret": held.signing_secret,
            },
            "n8n_options": {
                "auth": "header",
                "response": "results",
                "batch_size": "20",
                "calls_per_second": "1000",
            },
        }
    )


async def test_contacts_arrive_at_a_workflow_in_batches(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Signed, entered by its credential, and each answered by the workflow itself."""
    await import_many(client, 120)
    ended = await finished(client, (await queue_all(client, "n8n")).id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (ended.progress.synced, ended.progress.total) == (120, 120)
    assert len({held["email"] for held in sandbox.n8n.contacts()}) == 120
    assert len(sandbox.n8n.executions) < 120 / 4


async def test_a_lost_answer_of_a_workflow_makes_no_second_contact(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The repetition has the key of what was taken."""
    contact_id = await create(client, "ada@example.com")
    sandbox.n8n.faults.script(ScriptedFault(kind="drop", applied=True, method="POST"))
    ended = await finished(client, await queue(client, contact_id))
    assert ended.progress.synced == 1
    (held,) = sandbox.n8n.contacts()
    assert (held["times_created"], held["times_updated"]) == (1, 0)
    assert sandbox.n8n.receiver.repetitions == 1


async def test_a_url_that_leads_inside_is_never_called(
    settings: Settings, sandbox: Sandbox
) -> None:
    """The contact waits with the reason, and burns no retry."""
    outside = settings.model_copy(update={"allowed_networks": ()})
    async with (
        serving(outside, authenticator_of(outside, SECRET)) as running,
        CrmsyncClient(f"127.0.0.1:{running.port}") as client,
    ):
        contact_id = await create(client, "ada@example.com")
        await queue(client, contact_id)

        async def refused() -> contact_sync_pb2.ContactSync:
            request = pb.GetContactSyncStatusRequest(contact_id=contact_id)
            found = (await client.sync.GetContactSyncStatus(request)).contact_syncs["n8n"]
            assert "127.0.0.1 is not a public address" in found.error.message
            return found

        found = await eventually(refused)
        assert found.sync_status == contact_sync_pb2.SYNC_STATUS_QUEUED
        assert found.retry_count == 0
    assert sandbox.n8n.calls.as_json()["total"] == 0


async def queue(client: CrmsyncClient, contact_id: str) -> str:
    """Queue a contact for n8n and return the session's id."""
    request = pb.QueueContactRequest(contact_id=contact_id, crm="n8n")
    return (await client.sync.QueueContact(request)).session.id
