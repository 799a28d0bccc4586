"""What failed at a simulated CRM: seen, fixed, retried and followed to its end."""

import pytest

from crmsync.v1 import contact_sync_pb2 as standing
from crmsync.v1 import session_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.calls import create, finished, import_many, queue_all

CRM = "hubspot"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Let what failed for a passing reason wait for minutes: nothing goes on by itself."""
    return settings.model_copy(
        update={"engine_backoff_base": settings.engine_backoff_cap, "engine_max_retries": 1}
    )


async def failures(client: CrmsyncClient, text: str = "") -> list[pb.SyncFailure]:
    """Read all pages of the failures."""
    request = pb.ListSyncFailuresRequest(crm=CRM, filter=text, page_size=20)
    found: list[pb.SyncFailure] = []
    while True:
        page = await client.sync.ListSyncFailures(request)
        found += page.failures
        if not page.next_page_token:
            assert page.total_size == len(found)
            return found
        request.page_token = page.next_page_token


async def sound(database: Database) -> bool:
    """Tell whether every promise of the queue holds."""
    async with database.everyone() as connection:
        return not await violations(connection)


async def test_a_refused_contact_is_seen_fixed_and_retried(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """With the CRM's own code and words; afterwards nothing is left among the failures."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=1.0)
    contact_id = await create(client)
    assert (await finished(client, (await queue_all(client)).id)).progress.errors == 1
    (failure,) = await failures(client)
    assert (failure.contact_id, failure.email) == (contact_id, "ada@example.com")
    assert failure.sync_status == standing.SYNC_STATUS_ERROR
    assert failure.error.code
    assert failure.error.message
    sandbox.hubspot.faults.settings = FaultSettings()
    request = pb.RetryContactRequest(contact_id=contact_id, crm=CRM, reset_retry_count=True)
    retried = await client.sync.RetryContact(request)
    assert (await finished(client, retried.session.id)).progress.synced == 1
    assert await failures(client) == []
    assert len(list(sandbox.hubspot.contacts())) == 1
    assert await sound(database)


async def test_all_failures_are_retried_and_all_are_followed(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """First those that a filter names, then the rest; page by page they are gone."""
    sandbox.hubspot.faults.settings = FaultSettings(reject_share=0.5)
    await import_many(client, 100)
    ended = await finished(client, (await queue_all(client)).id)
    failed = await failures(client)
    assert len(failed) == ended.progress.errors > 20
    sandbox.hubspot.faults.settings = FaultSettings()
    some = len([one for one in failed if one.email.startswith("person1")])
    for text, count in (("email = person1*", some), ("", len(failed) - some)):
        request = pb.RetryAllFailuresRequest(crm=CRM, filter=text, reset_retry_count=True)
        retried = await client.sync.RetryAllFailures(request)
        assert retried.retried_count == count
        assert (await finished(client, retried.session.id)).progress.synced == count
    assert await failures(client) == []
    assert len(list(sandbox.hubspot.contacts())) == 100
    assert await sound(database)


async def test_what_waits_for_its_retry_is_cancelled_and_its_watcher_hears_of_it(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """The session ends at once, although the retry would be minutes away; queueing delivers it."""
    sandbox.hubspot.faults.script(ScriptedFault(kind="status", status=423, path="*/batch/upsert"))
    contact_id = await create(client)
    session = await queue_all(client)

    async def waits() -> None:
        request = pb.GetContactSyncStatusRequest(contact_id=contact_id)
        found = await client.sync.GetContactSyncStatus(request)
        assert found.contact_syncs[CRM].HasField("next_retry_time")

    await eventually(waits)
    cancel = pb.CancelContactRequest(contact_id=contact_id, crm=CRM)
    answer = await client.sync.CancelContact(cancel)
    assert answer.contact_sync.sync_status == standing.SYNC_STATUS_SELECTED
    ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert (ended.progress.cancelled, ended.progress.total) == (1, 1)
    assert not list(sandbox.hubspot.contacts())
    assert (await finished(client, (await queue_all(client)).id)).progress.synced == 1
    assert await sound(database)


async def test_contacts_are_queued_by_a_filter(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Only what passes it reaches the CRM."""
    await import_many(client, 30)
    chosen = QueueFilter(filter="email = person1* AND NOT (first_name = P1 OR first_name = p10)")
    answer = await client.sync.QueueAllContacts(pb.QueueAllContactsRequest(crm=CRM, filter=chosen))
    assert answer.queued_count == 9
    assert (await finished(client, answer.session.id)).progress.synced == 9
    assert len(list(sandbox.hubspot.contacts())) == 9
