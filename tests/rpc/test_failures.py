"""Failures listed and retried, contacts cancelled: what each call promises, over a real channel."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from uuid import UUID, uuid4

import grpc
import pytest

from crmsync.v1 import contact_sync_pb2 as standing
from crmsync.v1 import session_pb2
from crmsync.v1 import sync_service_pb2 as pb
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync.v1.sync_service_pb2_grpc import SyncServiceStub
from crmsync_server.store import config, contact
from crmsync_server.store.config import Config
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.rpc.contacts import OTHER, Refusal, refusal
from tests.rpc.syncs import WAIT, Told, serving
from tests.store import people
from tests.store.failing import fail
from tests.store.people import CRM, ORG


@pytest.fixture
def told() -> Told:
    """Hear what the service tells."""
    return Told()


@pytest.fixture
async def stub(database: Database, told: Told) -> AsyncGenerator[SyncServiceStub]:
    """Connect to a running service."""
    async with serving(database, told) as stub:
        yield stub


async def refused(call: Awaitable[object]) -> Refusal:
    """Return how a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return refusal(raised)


async def listed(stub: SyncServiceStub, text: str = "", size: int = 0) -> list[pb.SyncFailure]:
    """Read all pages."""
    request = pb.ListSyncFailuresRequest(crm=CRM, filter=text, page_size=size)
    failures: list[pb.SyncFailure] = []
    while True:
        page = await stub.ListSyncFailures(request)
        failures += page.failures
        if not page.next_page_token:
            assert page.total_size == len(failures)
            return failures
        request.page_token = page.next_page_token


async def sound(database: Database) -> bool:
    """Tell whether every promise of the queue holds."""
    async with database.everyone() as connection:
        return not await violations(connection)


async def test_a_failure_says_what_went_wrong(stub: SyncServiceStub, database: Database) -> None:
    """The CRM's code, words and request id, the contact, the retries and the time."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id], retries=2)
    (failure,) = await listed(stub)
    assert (failure.contact_id, failure.email) == (str(contact_id), f"{contact_id}@example.com")
    assert failure.error == standing.SyncError(
        code="VALIDATION_ERROR", message="VALIDATION_ERROR it is", request_id="request-1"
    )
    assert (failure.retry_count, failure.can_retry) == (2, True)
    assert failure.sync_status == standing.SYNC_STATUS_ERROR
    assert failure.HasField("error_time")
    assert not failure.HasField("last_retry_time")


async def test_failures_come_in_pages_newest_first(
    stub: SyncServiceStub, database: Database
) -> None:
    """Each once, with the total on every page."""
    ids = await people.populate(database, 5)
    for contact_id in ids:
        await fail(database, [contact_id])
    expected = [str(contact_id) for contact_id in reversed(ids)]
    assert [one.contact_id for one in await listed(stub, size=2)] == expected


async def test_a_page_token_serves_only_its_own_list(
    stub: SyncServiceStub, database: Database
) -> None:
    """Another filter, another CRM or a damaged token is INVALID_ARGUMENT."""
    await fail(database, await people.populate(database, 2))
    request = pb.ListSyncFailuresRequest(crm=CRM, page_size=1)
    token = (await stub.ListSyncFailures(request)).next_page_token
    for wrong in (
        pb.ListSyncFailuresRequest(crm="brevo", page_token=token),
        pb.ListSyncFailuresRequest(crm=CRM, filter="retry_count = 0", page_token=token),
        pb.ListSyncFailuresRequest(crm=CRM, page_token=token[:-2]),
    ):
        failed = await refused(stub.ListSyncFailures(wrong))
        assert failed.reason == "INVALID_PAGE_TOKEN"


async def test_failures_are_found_by_a_filter(stub: SyncServiceStub, database: Database) -> None:
    """Over several pages, each with the total of what matches."""
    ids = await people.populate(database, 5)
    await fail(database, ids[:3], "TIMEOUT")
    await fail(database, ids[3:])
    assert len(await listed(stub, "error.code = timeout AND email:*", size=2)) == 3
    assert len(await listed(stub, "error.code != timeout OR retry_count > 5")) == 2


async def test_retries_are_counted_by_what_the_crm_is_configured_for(
    stub: SyncServiceStub, database: Database
) -> None:
    """can_retry follows max_retries of the configuration, in the filter too."""
    await fail(database, await people.populate(database, 1), retries=2)
    assert len(await listed(stub, "can_retry = true")) == 1
    async with database.org(ORG) as connection:
        await config.update(connection, ORG, CRM, lambda _: Config(max_retries=2))
    (failure,) = await listed(stub, "can_retry = false")
    assert not failure.can_retry


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [("error.code =", "13", "a value"), ("retry_count > soon", "15", "a number such as 3")],
)
async def test_a_wrong_filter_is_told_with_its_place(
    stub: SyncServiceStub, text: str, position: str, expected: str
) -> None:
    """INVALID_FILTER from each call that takes one, naming field, character and what is right."""
    for call in (
        stub.ListSyncFailures(pb.ListSyncFailuresRequest(crm=CRM, filter=text)),
        stub.RetryAllFailures(pb.RetryAllFailuresRequest(crm=CRM, filter=text)),
    ):
        failed = await refused(call)
        assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
        assert failed.reason == "INVALID_FILTER"
        assert failed.metadata == {"field": "filter", "position": position, "expected": expected}
        assert failed.fields == ["filter"]


async def test_queue_all_takes_a_filter(stub: SyncServiceStub, database: Database) -> None:
    """What passes it is queued; a wrong one queues nothing."""
    ids = await people.populate(database, 3)
    async with database.org(ORG) as connection:
        await people.edit(connection, ORG, ids[1], "Zoë")
    chosen = QueueFilter(filter='first_name = "zoË"')
    answer = await stub.QueueAllContacts(pb.QueueAllContactsRequest(crm=CRM, filter=chosen))
    assert (answer.queued_count, answer.session.progress.total) == (1, 1)
    wrong = pb.QueueAllContactsRequest(crm=CRM, filter=QueueFilter(filter="city = Rome"))
    failed = await refused(stub.QueueAllContacts(wrong))
    assert (failed.reason, failed.metadata["field"]) == ("INVALID_FILTER", "filter.filter")
    assert failed.metadata["expected"].startswith("one of company, create_time")
    stats = (await stub.GetSyncStats(pb.GetSyncStatsRequest(crm=CRM))).stats
    assert stats.queued == 1


async def test_a_retry_from_the_start(
    stub: SyncServiceStub, database: Database, told: Told
) -> None:
    """Queued, due at once, its count 0, in a session of its own; the engine is told."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id], retries=3)
    answer = await stub.RetryContact(
        pb.RetryContactRequest(contact_id=str(contact_id), crm=CRM, reset_retry_count=True)
    )
    now = answer.contact_sync
    assert (now.sync_status, now.retry_count) == (standing.SYNC_STATUS_QUEUED, 0)
    assert not now.HasField("next_retry_time")
    assert now.HasField("estimated_processing_time")
    assert answer.session.kind == session_pb2.SESSION_KIND_RETRY_CONTACT
    assert (answer.session.progress.total, answer.session.creator) == (1, "tester")
    assert answer.message == "Retry scheduled"
    assert told.queued == [(ORG, CRM)]
    assert await listed(stub) == []
    assert await sound(database)


async def test_a_retry_that_goes_on(stub: SyncServiceStub, database: Database) -> None:
    """One more is counted, and it waits for as long as the policy says."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id], retries=3)
    request = pb.RetryContactRequest(contact_id=str(contact_id), crm=CRM)
    now = (await stub.RetryContact(request)).contact_sync
    assert now.retry_count == 4
    wait = now.next_retry_time.ToDatetime() - now.update_time.ToDatetime()
    assert wait == 4 * WAIT
    assert now.error.code == "VALIDATION_ERROR"
    assert await sound(database)


async def test_what_has_not_failed_cannot_be_retried(
    stub: SyncServiceStub, database: Database
) -> None:
    """NOT_IN_ERROR with its status, NONE when it was never selected; a second retry, too."""
    (contact_id,) = await people.populate(database, 1)
    request = pb.RetryContactRequest(contact_id=str(contact_id), crm=CRM)
    for status in ("NONE", "QUEUED"):
        failed = await refused(stub.RetryContact(request))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NOT_IN_ERROR",
        )
        assert failed.metadata == {
            "contact_id": str(contact_id),
            "crm": CRM,
            "sync_status": status,
        }
        if status == "NONE":
            await fail(database, [contact_id])
            await stub.RetryContact(request)
    assert await sound(database)


async def test_an_unknown_contact_can_be_neither_retried_nor_cancelled(
    stub: SyncServiceStub, database: Database
) -> None:
    """NOT_FOUND: never made, deleted, or another organization's."""
    gone, theirs = await people.populate(database, 2)
    await fail(database, [gone, theirs])
    async with database.org(ORG) as connection:
        await contact.delete(connection, ORG, gone)
    unknown: list[tuple[object, tuple[tuple[str, str], ...]]] = [
        (uuid4(), ()),
        (gone, ()),
        (theirs, OTHER),
    ]
    for contact_id, caller in unknown:
        retry = pb.RetryContactRequest(contact_id=str(contact_id), crm=CRM)
        cancel = pb.CancelContactRequest(contact_id=str(contact_id), crm=CRM)
        for call in (
            stub.RetryContact(retry, metadata=caller),
            stub.CancelContact(cancel, metadata=caller),
        ):
            failed = await refused(call)
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.NOT_FOUND,
                "CONTACT_NOT_FOUND",
            )


async def test_a_contact_that_lost_its_email_is_not_retried_where_one_is_needed(
    stub: SyncServiceStub, database: Database
) -> None:
    """EMAIL_REQUIRED, as QueueContact has it."""
    async with database.org(ORG) as connection:
        contact_id = await people.create(connection, ORG, "mute", email=False)
    await fail(database, [contact_id], crm="brevo")
    request = pb.RetryContactRequest(contact_id=str(contact_id), crm="brevo")
    failed = await refused(stub.RetryContact(request))
    assert failed.reason == "EMAIL_REQUIRED"
    everything = pb.RetryAllFailuresRequest(crm="brevo")
    assert (await stub.RetryAllFailures(everything)).retried_count == 0


async def test_unknown_and_disabled_crms_are_refused(stub: SyncServiceStub) -> None:
    """UNKNOWN_CRM by every call, CRM_DISABLED by those that queue."""
    contact_id = str(uuid4())
    for crm, reason in (("salesforce", "UNKNOWN_CRM"), ("mautic", "CRM_DISABLED")):
        retry = pb.RetryContactRequest(contact_id=contact_id, crm=crm)
        assert (await refused(stub.RetryContact(retry))).reason == reason
        every = pb.RetryAllFailuresRequest(crm=crm)
        assert (await refused(stub.RetryAllFailures(every))).reason == reason
    failures = pb.ListSyncFailuresRequest(crm="salesforce")
    assert (await refused(stub.ListSyncFailures(failures))).reason == "UNKNOWN_CRM"
    cancel = pb.CancelContactRequest(contact_id=contact_id, crm="salesforce")
    assert (await refused(stub.CancelContact(cancel))).reason == "UNKNOWN_CRM"
    page = await stub.ListSyncFailures(pb.ListSyncFailuresRequest(crm="mautic"))
    assert (page.total_size, page.crm) == (0, "mautic")


async def test_all_failures_are_retried_in_one_session(
    stub: SyncServiceStub, database: Database, told: Told
) -> None:
    """Or those that pass the filter; none is a session that has ended."""
    ids = await people.populate(database, 5)
    await fail(database, ids[:3], "TIMEOUT")
    await fail(database, ids[3:])
    request = pb.RetryAllFailuresRequest(crm=CRM, filter="error.code = TIMEOUT")
    some = await stub.RetryAllFailures(request)
    assert (some.retried_count, some.crm) == (3, CRM)
    assert some.message == "All failures queued for retry"
    assert some.session.kind == session_pb2.SESSION_KIND_RETRY_ALL_FAILURES
    request = pb.RetryAllFailuresRequest(crm=CRM, reset_retry_count=True)
    rest = await stub.RetryAllFailures(request)
    assert (rest.retried_count, rest.session.progress.total) == (2, 2)
    assert rest.message == "All failures reset and queued for retry"
    none = await stub.RetryAllFailures(request)
    assert (none.retried_count, none.session.state) == (0, session_pb2.SESSION_STATE_SUCCEEDED)
    assert told.queued == [(ORG, CRM)] * 3
    assert await sound(database)


async def test_the_same_request_id_retries_once(stub: SyncServiceStub, database: Database) -> None:
    """Of two at once the second answer is the first; with other content it is refused."""
    ids = await people.populate(database, 2)
    await fail(database, ids)
    one = pb.RetryContactRequest(contact_id=str(ids[0]), crm=CRM, request_id=str(uuid4()))
    first, second = await asyncio.gather(stub.RetryContact(one), stub.RetryContact(one))
    assert first == second
    every = pb.RetryAllFailuresRequest(crm=CRM, request_id=str(uuid4()))
    assert await stub.RetryAllFailures(every) == await stub.RetryAllFailures(every)
    every.reset_retry_count = True
    assert (await refused(stub.RetryAllFailures(every))).reason == "REQUEST_ID_REUSED"


async def test_a_queued_contact_is_cancelled(
    stub: SyncServiceStub, database: Database, told: Told
) -> None:
    """SELECTED at once, and whoever watches its session is told."""
    (contact_id,) = await people.populate(database, 1)
    async with database.org(ORG) as connection:
        session_id = await people.enqueue(connection, [contact_id], people.order())
    request = pb.CancelContactRequest(contact_id=str(contact_id), crm=CRM)
    answer = await stub.CancelContact(request)
    assert answer.contact_sync.sync_status == standing.SYNC_STATUS_SELECTED
    assert told.moved == [(ORG, (session_id,))]
    failed = await refused(stub.CancelContact(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_QUEUED")
    assert failed.metadata == {
        "contact_id": str(contact_id),
        "crm": CRM,
        "sync_status": "SELECTED",
    }
    assert await sound(database)


async def test_a_contact_that_was_never_selected_cannot_be_cancelled(
    stub: SyncServiceStub, database: Database
) -> None:
    """NOT_QUEUED with NONE."""
    (contact_id,) = await people.populate(database, 1)
    request = pb.CancelContactRequest(contact_id=str(contact_id), crm=CRM)
    failed = await refused(stub.CancelContact(request))
    assert (failed.reason, failed.metadata["sync_status"]) == ("NOT_QUEUED", "NONE")


async def test_a_delivery_under_way_is_told_to_be_processing(
    stub: SyncServiceStub, database: Database
) -> None:
    """It ends with its true outcome."""
    (contact_id,) = await people.populate(database, 1)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
        await people.claim(connection)
    request = pb.CancelContactRequest(contact_id=str(contact_id), crm=CRM)
    answer = await stub.CancelContact(request)
    assert answer.contact_sync.sync_status == standing.SYNC_STATUS_PROCESSING
    assert UUID(answer.contact_sync.contact_id) == contact_id
