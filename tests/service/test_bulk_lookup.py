"""Emails that are looked up while a stream comes: that saves time, and decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import grpc
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1.bulk_record_pb2 import (
    BULK_ACCEPTANCE_ACCEPT_VALID,
    BULK_FINDING_CODE_CONTACT_NOT_FOUND,
    BulkChanges,
    BulkRecord,
)
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import DeleteContactRequest, UpdateContactRequest
from crmsync_client import CrmsyncClient
from crmsync_server.store import bulk
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.eventually import eventually
from tests.service.bulks import DELETE, UPDATE, UPSERT, mass, upserts
from tests.service.calls import create, failure

MANY = 1_200

Action = Callable[[], Awaitable[object]]


class Asked:
    """Passes on who asks for owners.

    looked_up: somebody got an answer. counts: of the emails that were asked for.
    """

    def __init__(self) -> None:
        """Begin with nobody having asked."""
        self.ask = bulk.owners
        self.looked_up = asyncio.Event()
        self.counts: list[int] = []

    async def owners(
        self, connection: AsyncConnection, org_id: str, keys: Sequence[str]
    ) -> Mapping[str, UUID]:
        """Do what bulk.owners does."""
        self.counts.append(len(keys))
        found = await self.ask(connection, org_id, keys)
        self.looked_up.set()
        return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Listen to who asks for owners."""
    asked = Asked()
    monkeypatch.setattr(bulk, "owners", asked.owners)
    return asked


def changes(operation: int) -> list[BulkRecord]:
    """Return records about contacts that are there."""
    records = upserts(MANY, company="New")
    for record in records:
        record.operation = operation  # type: ignore[assignment]
    return records


async def move(client: CrmsyncClient, contact_id: str, email: str) -> None:
    """Give a contact another email."""
    change = UpdateContactRequest(contact=Contact(id=contact_id, email=email))
    change.update_mask.paths.append("email")
    await client.contacts.UpdateContact(change)


async def interrupted(
    client: CrmsyncClient, asked: Asked, records: Sequence[BulkRecord], action: Action
) -> pb.StartMassUpdateResponse:
    """Take records; do something once all but the last hundred have been looked up."""
    asked.looked_up.clear()
    asked.counts.clear()

    async def stream() -> AsyncIterator[pb.StartMassUpdateRequest]:
        yield pb.StartMassUpdateRequest(crm="hubspot", acceptance=BULK_ACCEPTANCE_ACCEPT_VALID)
        yield pb.StartMassUpdateRequest(records=records[:600])
        yield pb.StartMassUpdateRequest(records=records[600:-100])
        await asyncio.wait_for(asked.looked_up.wait(), 20)
        await action()
        yield pb.StartMassUpdateRequest(records=records[-100:])

    return await client.bulk.StartMassUpdate(stream())


@pytest.mark.parametrize("deleted", [False, True])
async def test_an_upsert_makes_a_contact_where_the_one_that_was_found_is_no_more(
    client: CrmsyncClient, database: Database, asked: Asked, *, deleted: bool
) -> None:
    """And leaves alone the one that has another email by then."""
    first = await create(client, "person0@example.com")
    await mass(client, upserts(MANY - 1, 1))

    async def action() -> None:
        if deleted:
            await client.contacts.DeleteContact(DeleteContactRequest(contact_id=first))
        else:
            await move(client, first, "moved@example.com")

    answer = await interrupted(client, asked, changes(UPSERT), action)
    assert answer.changes == BulkChanges(created=1, updated=MANY - 1)
    async with database.everyone() as connection:
        assert not await violations(connection)


@pytest.mark.parametrize("operation", [UPDATE, DELETE])
async def test_a_change_does_not_find_whoever_lost_the_email(
    client: CrmsyncClient, asked: Asked, operation: int
) -> None:
    """Where nobody has it any more, the record is told not to have found anyone."""
    first = await create(client, "person0@example.com")
    await mass(client, upserts(MANY - 1, 1))
    records = changes(operation)
    if operation == DELETE:
        for record in records:
            record.contact.CopyFrom(Contact(email=record.contact.email))
    answer = await interrupted(
        client, asked, records, lambda: move(client, first, "moved@example.com")
    )
    assert [(one.index, one.code) for one in answer.findings] == [
        (0, BULK_FINDING_CODE_CONTACT_NOT_FOUND)
    ]
    assert answer.accepted == MANY - 1


@pytest.mark.parametrize("operation", [UPDATE, UPSERT])
async def test_an_email_that_moves_away_from_a_contact_named_by_id_is_no_duplicate(
    client: CrmsyncClient, asked: Asked, operation: int
) -> None:
    """Somebody else has it by then, or nobody."""
    first = await create(client, "person0@example.com")
    await mass(client, upserts(MANY - 1, 1))
    by_id = BulkRecord(operation=UPDATE, contact_id=first, contact=Contact(company="By id"))

    async def action() -> None:
        await move(client, first, "moved@example.com")
        if operation == UPDATE:
            await create(client, "person0@example.com")

    answer = await interrupted(client, asked, [by_id, *changes(operation)], action)
    assert answer.changes == (
        BulkChanges(updated=MANY + 1)
        if operation == UPDATE
        else BulkChanges(updated=MANY, created=1)
    )


async def test_a_try_that_a_lookup_has_spoilt_is_not_counted(
    client: CrmsyncClient, database: Database, asked: Asked
) -> None:
    """It leaves as many for others who are at the same contacts."""
    first = await create(client, "person0@example.com")
    await mass(client, upserts(MANY - 1, 1))

    async def action() -> None:
        await move(client, first, "moved@example.com")
        async with database.everyone() as connection:
            for statement in _CROSSED_TWICE:
                await connection.execute(sa.text(statement))

    answer = await interrupted(client, asked, changes(UPSERT), action)
    assert answer.changes == BulkChanges(created=1, updated=MANY - 1)


_CROSSED_TWICE = (
    "CREATE SEQUENCE crossings",
    """
    CREATE FUNCTION crossed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('crossings') <= 2 THEN
        RAISE EXCEPTION 'others are at the same contacts' USING ERRCODE = '40P01';
      END IF;
      RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER crossed BEFORE UPDATE ON contacts EXECUTE FUNCTION crossed()",
)


async def test_an_email_that_nobody_had_is_looked_for_once_more(
    client: CrmsyncClient, asked: Asked
) -> None:
    """Somebody may have it by then."""
    other = await create(client, "other@example.com")
    await mass(client, upserts(MANY - 1, 1))
    answer = await interrupted(
        client, asked, changes(UPDATE), lambda: move(client, other, "person0@example.com")
    )
    assert answer.changes == BulkChanges(updated=MANY)


@pytest.mark.parametrize("operation", [UPDATE, UPSERT])
async def test_what_was_looked_up_is_not_looked_up_again(
    client: CrmsyncClient, asked: Asked, operation: int
) -> None:
    """Only what came too late for it; an upsert of that is tried as a new contact first."""
    await mass(client, upserts(MANY))
    answer = await interrupted(client, asked, changes(operation), asked.looked_up.wait)
    assert answer.changes == BulkChanges(updated=MANY)
    assert asked.counts == [1_000, 200]


async def test_new_contacts_are_looked_up_no_further_than_that_shows(
    client: CrmsyncClient, asked: Asked
) -> None:
    """A thousand of them, in however long a stream."""

    async def stream() -> AsyncIterator[pb.StartMassUpdateRequest]:
        yield pb.StartMassUpdateRequest(crm="hubspot", records=upserts(1_000))
        await asyncio.wait_for(asked.looked_up.wait(), 20)
        for first in (1_000, 2_000):
            yield pb.StartMassUpdateRequest(records=upserts(1_000, first))

    answer = await client.bulk.StartMassUpdate(stream())
    assert answer.changes == BulkChanges(created=3_000)
    assert asked.counts == [1_000]


@pytest.mark.parametrize("ending", ["cancelled", "refused", "goes on"])
async def test_a_lookup_that_hangs_is_given_up_with_its_stream(
    client: CrmsyncClient, database: Database, ending: str
) -> None:
    """At once where that ends early; a stream that goes on looks for itself."""
    await mass(client, upserts(MANY))
    records, go_on = changes(UPDATE), asyncio.Event()

    async def stream() -> AsyncIterator[pb.StartMassUpdateRequest]:
        yield pb.StartMassUpdateRequest(crm="hubspot")
        yield pb.StartMassUpdateRequest(records=records[:1_000])
        await go_on.wait()
        yield pb.StartMassUpdateRequest(records=records[1_000:], force=ending == "refused")

    async with database.everyone() as other:
        await other.execute(sa.text("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE"))
        call = client.bulk.StartMassUpdate(stream())
        pids = await eventually(lambda: _looking(database))
        if ending == "cancelled":
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        elif ending == "refused":
            go_on.set()
            assert (await failure(call)).code == grpc.StatusCode.INVALID_ARGUMENT
        else:
            await other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pids[0]})
            go_on.set()
        await eventually(lambda: _nobody_looks(database))
    if ending == "goes on":
        assert (await call).changes == BulkChanges(updated=MANY)


_LOOKING = sa.text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock' AND query LIKE '%contacts_with_emails%'"
)


async def _looking(database: Database) -> Sequence[int]:
    async with database.everyone() as connection:
        pids = (await connection.scalars(_LOOKING)).all()
    assert pids
    return pids


async def _nobody_looks(database: Database) -> None:
    async with database.everyone() as connection:
        assert not (await connection.scalars(_LOOKING)).all()
