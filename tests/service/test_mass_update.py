"""StartMassUpdate and ValidateBatch, through a real channel to simulated CRMs and back."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import sqlalchemy as sa

from crmsync.v1 import bulk_record_pb2 as record_pb
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1 import session_pb2
from crmsync.v1.admin_service_pb2 import PauseCrmRequest
from crmsync.v1.bulk_record_pb2 import BulkRecord
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.session_item_pb2 import SESSION_ITEM_OUTCOME_ERROR
from crmsync.v1.session_service_pb2 import (
    CancelSessionRequest,
    ListSessionItemsRequest,
    ListSessionsRequest,
    PauseSessionRequest,
    ResumeSessionRequest,
)
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.service.bulks import (
    CREATE,
    DELETE,
    UPDATE,
    deletes,
    mass,
    person,
    upserts,
    validated,
)
from tests.service.calls import create, failure, finished, new_uuid
from tests.service.starting import items

ACCEPT_VALID = record_pb.BULK_ACCEPTANCE_ACCEPT_VALID
MANY = 50_000


async def kept(database: Database) -> tuple[int, int]:
    """Return how many contacts and sessions there are."""
    async with database.everyone() as connection:
        contacts = await connection.scalar(sa.text("SELECT count(*) FROM contacts"))
        sessions = await connection.scalar(sa.text("SELECT count(*) FROM sessions"))
    return contacts or 0, sessions or 0


async def balanced(database: Database, session: session_pb2.Session) -> None:
    """Check that every record of a session is accounted for, once."""
    told = session.progress
    assert told.total == told.synced + told.skipped + told.errors + told.cancelled
    assert told.pending == 0
    async with database.everyone() as connection:
        assert not await violations(connection)


def flawed() -> list[BulkRecord]:
    """Return records of which four are wrong, each for another reason."""
    return [
        *upserts(3),
        BulkRecord(operation=CREATE, contact=Contact(email="nobody")),
        *upserts(1, 1),
        BulkRecord(operation=CREATE, contact=Contact(email="ada@example.com")),
        BulkRecord(operation=UPDATE, contact_id=new_uuid(), contact=Contact(company="X")),
        *upserts(1, 7),
    ]


FOUND = [
    (3, record_pb.BULK_FINDING_CODE_INVALID),
    (4, record_pb.BULK_FINDING_CODE_DUPLICATE),
    (5, record_pb.BULK_FINDING_CODE_EMAIL_TAKEN),
    (6, record_pb.BULK_FINDING_CODE_CONTACT_NOT_FOUND),
]


async def test_a_mass_update_is_one_session_to_its_end(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """Acknowledged with its counts, watched, listed, and every item shown."""
    await create(client, "person0@example.com", first_name="P0")
    answer = await mass(client, upserts(2_500), request_id=new_uuid())
    assert (answer.received, answer.accepted, answer.rejected) == (2_500, 2_500, 0)
    assert answer.changes == record_pb.BulkChanges(created=2_499, unchanged=1)
    assert answer.HasField("estimated_completion_time")
    ended = await finished(client, answer.session.id)
    assert ended.progress.synced == 2_500
    assert len(list(sandbox.hubspot.contacts())) == 2_500
    assert len(await items(client, answer.session.id)) == 2_500
    request = ListSessionsRequest(kind=session_pb2.SESSION_KIND_MASS_UPDATE)
    listed = await client.sessions.ListSessions(request)
    assert [one.id for one in listed.sessions] == [answer.session.id]
    await balanced(database, ended)


async def test_changes_and_removals_go_in_one_session(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """Each item says which it was."""
    await finished(client, (await mass(client, upserts(40))).session.id)
    answer = await mass(client, [*deletes(20), *upserts(20, 20, company="New")])
    assert answer.changes == record_pb.BulkChanges(updated=20, removed=20)
    ended = await finished(client, answer.session.id)
    assert ended.progress.synced == 40
    told = await items(client, answer.session.id)
    assert sum(one.removal for one in told) == 20
    left = [one for one in sandbox.hubspot.contacts() if not one["archived"]]
    assert {one["properties"]["company"] for one in left} == {"New"}
    assert len(left) == 20
    await balanced(database, ended)


async def test_one_wrong_record_refuses_all(client: CrmsyncClient, database: Database) -> None:
    """Named with its place; ValidateBatch tells all of it, and changes nothing either."""
    await create(client, "ada@example.com")
    before = await kept(database)
    failed = await failure(mass(client, flawed(), size=2))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_REJECTED")
    assert failed.metadata["received"] == "8"
    told = await validated(client, flawed())
    assert [(one.index, one.code) for one in told.findings] == FOUND
    assert (told.received, told.valid, told.invalid) == (8, 4, 4)
    assert told.changes == record_pb.BulkChanges(created=4)
    assert told.findings[0].violations[0].field == "contact.email"
    assert told.findings[1].other_index == 1
    assert await kept(database) == before


async def test_records_that_only_the_contacts_here_refuse_refuse_all_too(
    client: CrmsyncClient, database: Database
) -> None:
    """What was changed before them in the same transaction is not kept."""
    await create(client, "ada@example.com")
    before = await kept(database)
    taken = BulkRecord(operation=CREATE, contact=Contact(email="ada@example.com"))
    failed = await failure(mass(client, [*upserts(5), taken]))
    assert (failed.reason, failed.metadata["rejected"]) == ("BATCH_REJECTED", "1")
    assert "1 of 6 records" in failed.message
    assert await kept(database) == before


async def test_the_good_ones_of_a_stream_are_taken_when_asked_to(client: CrmsyncClient) -> None:
    """With the findings that ValidateBatch has, by their places in the whole stream."""
    await create(client, "ada@example.com")
    expected = await validated(client, flawed())
    answer = await mass(client, flawed(), size=3, acceptance=ACCEPT_VALID)
    assert (answer.accepted, answer.rejected) == (4, 4)
    assert [(one.index, one.code) for one in answer.findings] == FOUND
    assert [one.message for one in answer.findings][1:3] == [
        one.message for one in expected.findings
    ][1:3]
    assert (await finished(client, answer.session.id)).progress.synced == 4


async def test_of_thousands_of_changes_each_is_judged_and_written_once(
    client: CrmsyncClient, database: Database
) -> None:
    """While some are written the next are judged; what is wrong with one is told of that one."""
    await create(client, "ada@example.com")
    await mass(client, upserts(3_100))
    records = upserts(3_100, company="New")
    for place in (10, 1_500, 3_099):
        records[place].contact.first_name = "P" * 101
    records[2_200] = BulkRecord(operation=UPDATE, contact_id=new_uuid(), contact=person(2_200))
    records[2_300] = BulkRecord(
        operation=UPDATE,
        email="person2300@example.com",
        contact=Contact(email="ada@example.com"),
    )
    failed = await failure(mass(client, records))
    assert (failed.reason, failed.metadata["rejected"]) == ("BATCH_REJECTED", "3")
    answer = await mass(client, records, acceptance=ACCEPT_VALID)
    assert [one.index for one in answer.findings] == [10, 1_500, 2_200, 2_300, 3_099]
    assert answer.changes == record_pb.BulkChanges(updated=3_095)
    async with database.everyone() as connection:
        told = await connection.execute(
            sa.text("SELECT company, version, count(*) FROM contacts GROUP BY 1, 2 ORDER BY 2")
        )
        assert [tuple(row) for row in told] == [("", 1, 6), ("New", 2, 3_095)]
        assert not await violations(connection)


async def test_a_change_is_wanted_wherever_its_contact_waits(
    client: CrmsyncClient, database: Database
) -> None:
    """At the CRM of the mass update, and at the others, where nothing else tells of it."""
    for crm in ("hubspot", "brevo"):
        await client.admin.PauseCrm(PauseCrmRequest(crm=crm))
        await mass(client, upserts(3), crm=crm)
    await mass(client, upserts(3, company="New"), crm="brevo")
    async with database.everyone() as connection:
        told = await connection.execute(
            sa.text("SELECT DISTINCT crm, wanted_version FROM contact_syncs ORDER BY crm")
        )
        assert [tuple(row) for row in told] == [("brevo", 2), ("hubspot", 2)]


async def test_nothing_good_in_a_stream_ends_at_once(client: CrmsyncClient) -> None:
    """Its session has no items."""
    answer = await mass(client, flawed()[3:4], acceptance=ACCEPT_VALID)
    assert (answer.accepted, answer.rejected) == (0, 1)
    assert answer.session.state == session_pb2.SESSION_STATE_SUCCEEDED


async def test_a_repeat_returns_the_first_answer(client: CrmsyncClient) -> None:
    """However it is divided into messages; with other records it is refused."""
    named = new_uuid()
    first = await mass(client, upserts(30), request_id=named)
    assert await mass(client, upserts(30), size=7, request_id=named) == first
    failed = await failure(mass(client, upserts(31), request_id=named))
    assert failed.reason == "REQUEST_ID_REUSED"


async def test_a_stream_that_breaks_keeps_nothing(
    client: CrmsyncClient, database: Database
) -> None:
    """However much of it had come."""
    sent = asyncio.Event()

    async def broken() -> AsyncIterator[pb.StartMassUpdateRequest]:
        yield pb.StartMassUpdateRequest(crm="hubspot", records=upserts(500))
        yield pb.StartMassUpdateRequest(records=upserts(500, 500))
        sent.set()
        await asyncio.Event().wait()

    call = client.bulk.StartMassUpdate(broken())
    await sent.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await kept(database) == (0, 0)


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "crm"),
        ([pb.StartMassUpdateRequest(records=upserts(1))], "crm"),
        ([pb.StartMassUpdateRequest(crm="hubspot")], "records"),
        (
            [
                pb.StartMassUpdateRequest(crm="hubspot", records=upserts(1)),
                pb.StartMassUpdateRequest(force=True, records=upserts(1, 1)),
            ],
            "force",
        ),
    ],
    ids=["no message", "no CRM", "no records", "options later"],
)
async def test_a_stream_has_its_options_first_and_its_records_then(
    client: CrmsyncClient, requests: list[pb.StartMassUpdateRequest], field: str
) -> None:
    """Anything else is INVALID_ARGUMENT, naming the field."""
    failed = await failure(client.bulk.StartMassUpdate(iter(requests)))
    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.message.startswith(field)


async def test_a_message_of_too_many_records_is_refused(client: CrmsyncClient) -> None:
    """A thousand is the most."""
    failed = await failure(mass(client, upserts(1_001), size=1_001))
    assert (failed.reason, failed.metadata["limit"]) == ("TOO_MANY_ITEMS", "1000")


async def test_record_50_001_is_refused_and_nothing_is_kept(
    client: CrmsyncClient, database: Database
) -> None:
    """RESOURCE_EXHAUSTED, before the stream has ended."""
    failed = await failure(mass(client, deletes(MANY + 1)))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_ITEMS",
    )
    assert failed.metadata["received"] == str(MANY + 1)
    assert await kept(database) == (0, 0)


async def test_a_mass_update_is_paused_resumed_and_cancelled(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """As every session; every record is accounted for."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.05)
    session_id = (await mass(client, upserts(2_000))).session.id
    paused = await client.sessions.PauseSession(PauseSessionRequest(session_id=session_id))
    assert paused.session.state == session_pb2.SESSION_STATE_PAUSED
    await client.sessions.ResumeSession(ResumeSessionRequest(session_id=session_id))
    async for state in client.watch_session(session_id):
        if state.progress.synced:
            break
    await client.sessions.CancelSession(CancelSessionRequest(session_id=session_id))
    ended = await finished(client, session_id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED
    assert ended.progress.cancelled > 0
    await balanced(database, ended)


@pytest.mark.slow
async def test_a_large_mass_update_balances_its_account_through_faults(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """50,000 records, rejections, faults and lost answers; and every failure has its reason."""
    sandbox.hubspot.faults.settings = FaultSettings(
        reject_share=0.01, server_error_rate=0.05, drop_rate=0.02, throttle_rate=0.02
    )
    answer = await mass(client, upserts(MANY))
    assert answer.accepted == MANY
    ended = await finished(client, answer.session.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
    held = {one["email"] for one in sandbox.hubspot.contacts()}
    assert ended.progress.synced <= len(held)
    assert ended.progress.errors > 0
    request = ListSessionItemsRequest(
        session_id=answer.session.id, page_size=1_000, outcomes=[SESSION_ITEM_OUTCOME_ERROR]
    )
    page = await client.sessions.ListSessionItems(request)
    assert all(one.error.code for one in page.items)
    await balanced(database, ended)


@pytest.mark.slow
async def test_a_large_mass_update_is_cancelled_halfway_with_every_record_accounted_for(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """What was delivered stays delivered; removals among them as well as deliveries."""
    known = MANY // 10
    await finished(client, (await mass(client, upserts(known))).session.id)
    sandbox.hubspot.faults.settings = FaultSettings(server_error_rate=0.05, drop_rate=0.02)
    records = [*deletes(known), *upserts(MANY - known, known)]
    session_id = (await mass(client, records)).session.id
    async for state in client.watch_session(session_id):
        if state.progress.completed >= MANY // 2:
            break
    await client.sessions.CancelSession(CancelSessionRequest(session_id=session_id))
    ended = await finished(client, session_id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED
    assert ended.progress.total == MANY
    assert ended.progress.synced >= MANY // 3
    assert ended.progress.cancelled > 0
    await balanced(database, ended)


async def test_validation_looks_at_the_contacts_here_without_changing_them(
    client: CrmsyncClient, database: Database
) -> None:
    """Updates, removals and upserts of known contacts are counted as they would come out."""
    await finished(client, (await mass(client, upserts(3))).session.id)
    before = await kept(database)
    records = [
        *upserts(1),
        *upserts(1, 1, company="New"),
        BulkRecord(operation=DELETE, email="person2@example.com", delete_contact=True),
        BulkRecord(operation=CREATE, contact=person(9)),
    ]
    told = await validated(client, records)
    assert told.changes == record_pb.BulkChanges(
        created=1, updated=1, unchanged=1, removed=1, deleted=1
    )
    assert await kept(database) == before
