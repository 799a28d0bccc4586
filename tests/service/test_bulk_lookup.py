"""Emails that are looked up while a stream comes: that saves time, and decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

import pytest
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
from tests.service.bulks import DELETE, UPDATE, UPSERT, mass, person, upserts
from tests.service.calls import create

MANY = 1_200


class Asked:
    """Passes on who asks for owners; looked_up: a thousand at once were found. fails: it cannot."""

    def __init__(self) -> None:
        """Begin with nobody having asked."""
        self.ask = bulk.owners
        self.looked_up = asyncio.Event()
        self.counts: list[int] = []
        self.fails = False

    async def owners(
        self, connection: AsyncConnection, org_id: str, keys: Sequence[str]
    ) -> Mapping[str, UUID]:
        """Do what bulk.owners does."""
        self.counts.append(len(keys))
        if self.fails:
            self.fails = False
            raise ConnectionResetError
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


async def with_a_break(
    records: Sequence[BulkRecord], reached: asyncio.Event, go_on: asyncio.Event
) -> AsyncIterator[pb.StartMassUpdateRequest]:
    """Send all but the last hundred, and those when it is time."""
    yield pb.StartMassUpdateRequest(crm="hubspot", acceptance=BULK_ACCEPTANCE_ACCEPT_VALID)
    yield pb.StartMassUpdateRequest(records=records[:600])
    yield pb.StartMassUpdateRequest(records=records[600:-100])
    reached.set()
    await go_on.wait()
    yield pb.StartMassUpdateRequest(records=records[-100:])


async def interrupted(
    client: CrmsyncClient, asked: Asked, records: Sequence[BulkRecord], contact_id: str, email: str
) -> pb.StartMassUpdateResponse:
    """Take records; after the lookup a contact gets another email, or is deleted for none."""
    asked.looked_up.clear()
    reached, go_on = asyncio.Event(), asyncio.Event()
    call = client.bulk.StartMassUpdate(with_a_break(records, reached, go_on))
    await reached.wait()
    await asyncio.wait_for(asked.looked_up.wait(), 20)
    if email:
        change = UpdateContactRequest(contact=Contact(id=contact_id, email=email))
        change.update_mask.paths.append("email")
        await client.contacts.UpdateContact(change)
    else:
        await client.contacts.DeleteContact(DeleteContactRequest(contact_id=contact_id))
    go_on.set()
    return await call


@pytest.mark.parametrize("email", ["moved@example.com", ""], ids=["moved", "deleted"])
async def test_an_upsert_makes_a_contact_where_the_one_that_was_found_is_no_more(
    client: CrmsyncClient, database: Database, asked: Asked, email: str
) -> None:
    """And leaves that one alone."""
    first = await create(client, "person0@example.com")
    await mass(client, upserts(MANY - 1, 1))
    answer = await interrupted(client, asked, changes(UPSERT), first, email)
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
    answer = await interrupted(client, asked, records, first, "moved@example.com")
    assert [(one.index, one.code) for one in answer.findings] == [
        (0, BULK_FINDING_CODE_CONTACT_NOT_FOUND)
    ]
    assert answer.accepted == MANY - 1


async def test_an_email_that_nobody_had_is_looked_for_once_more(
    client: CrmsyncClient, asked: Asked
) -> None:
    """Somebody may have it by then."""
    other = await create(client, "other@example.com")
    await mass(client, upserts(MANY - 1, 1))
    answer = await interrupted(client, asked, changes(UPDATE), other, "person0@example.com")
    assert answer.changes == BulkChanges(updated=MANY)


async def test_what_was_looked_up_is_not_looked_up_again(
    client: CrmsyncClient, asked: Asked
) -> None:
    """Only what came too late for it."""
    await mass(client, upserts(MANY))
    asked.counts.clear()
    records = changes(UPDATE)
    answer = await interrupted(client, asked, records[1:], await _id(client), "x@example.com")
    assert answer.changes == BulkChanges(updated=MANY - 1)
    assert asked.counts == [MANY - 101, 100]


async def test_a_lookup_that_fails_fails_nothing_else(client: CrmsyncClient, asked: Asked) -> None:
    """The emails are looked up when the stream has ended."""
    await mass(client, upserts(MANY))
    asked.fails = True
    answer = await mass(client, changes(UPDATE))
    assert answer.changes == BulkChanges(updated=MANY)
    assert not asked.fails


async def _id(client: CrmsyncClient) -> str:
    return await create(client, person(MANY).email)
