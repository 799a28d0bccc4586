"""Contacts that are queued for Mautic, through a real channel to a simulated instance and back."""

from pathlib import Path

import pytest

from crmsync.v1 import session_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.service.calls import create, finished, import_many, queue_all


@pytest.fixture
def settings(database_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Point a server at the test's database and Mautic, as an OAuth2 application."""
    mautic = sandbox.mautic.settings
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
            "mautic_base_url": sandbox.urls["mautic"],
            "mautic_client_id": mautic.client_id,
            "mautic_client_secret": mautic.client_secret,
            "mautic_options": {"timeout_seconds": "5"},
        }
    )


async def test_contacts_arrive_at_mautic_in_batches(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """From the import to the instance's own store; a token is asked for once."""
    await import_many(client, 120)
    ended = await finished(client, (await queue_all(client, "mautic")).id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (ended.progress.synced, ended.progress.total) == (120, 120)
    assert len({held["email"] for held in sandbox.mautic.contacts()}) == 120
    calls = {call["path"]: call["count"] for call in sandbox.mautic.calls.as_json()["calls"]}
    assert calls["/oauth/v2/token"] == 1
    assert calls["/api/contacts/batch/new"] < 120 / 4


async def test_a_lost_answer_of_mautic_makes_no_second_contact(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """What was applied is found again."""
    contact_id = await create(client, "ada@example.com")
    sandbox.mautic.faults.script(ScriptedFault(kind="drop", applied=True, path="*/batch/new"))
    queued = await client.sync.QueueContact(
        pb.QueueContactRequest(contact_id=contact_id, crm="mautic")
    )
    ended = await finished(client, queued.session.id)
    assert ended.progress.synced == 1
    assert [held["email"] for held in sandbox.mautic.contacts()] == ["ada@example.com"]
