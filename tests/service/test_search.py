"""SearchService, through a real channel: found while it is being indexed, and delivered at once."""

import asyncio

import pytest

from crmsync.v1 import contact_pb2, contact_service_pb2, contact_sync_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.store.db import Database
from crmsync_server.store.search_index import tail
from tests.eventually import eventually
from tests.service.calls import create, failure, finished, import_many

_MANY = 3_000


async def names(client: CrmsyncClient, text: str = "", filter_text: str = "") -> set[str]:
    """Return the names that a search finds, over all pages."""
    request = pb.SearchRecordsRequest(text=text, filter=filter_text, page_size=500)
    found: set[str] = set()
    while True:
        page = await client.search.SearchRecords(request)
        found |= {record.contact.name for record in page.records}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def indexed(database: Database) -> None:
    """Wait until the server has indexed everything."""

    async def nothing_waits() -> None:
        async with database.org("default") as connection:
            waiting = await tail(connection, "default")
        assert (waiting.contact_ids, waiting.unknown) == ((), 0)

    await eventually(nothing_waits, within=30)


async def test_what_was_written_is_found_before_and_after_it_is_indexed(
    client: CrmsyncClient, database: Database
) -> None:
    """By its new words and not by its old ones, with nobody waiting for the index."""
    contact_id = await create(client, name="Änne Müller", company="Acme")
    assert await names(client, "anne mull") == {"Änne Müller"}
    await indexed(database)
    assert await names(client, "anne mull") == {"Änne Müller"}
    change = contact_pb2.Contact(id=contact_id, name="Änne Schmidt")
    await client.contacts.UpdateContact(contact_service_pb2.UpdateContactRequest(contact=change))
    assert (await names(client, "müller"), await names(client, "schmi")) == (
        set(),
        {"Änne Schmidt"},
    )
    await indexed(database)
    assert (await names(client, "müller"), await names(client, "schmi")) == (
        set(),
        {"Änne Schmidt"},
    )


async def test_an_import_is_found_as_a_whole(client: CrmsyncClient, database: Database) -> None:
    """Once it is indexed; every page once, and each contact on one of them."""
    await import_many(client, _MANY)
    await indexed(database)
    assert len(await names(client, "example")) == _MANY
    assert len(await names(client, "p12")) == 111
    assert await names(client, "", "first_name = P1234") == {"P1234"}
    page = await client.search.SearchRecords(pb.SearchRecordsRequest(text="example"))
    assert (page.total_size, page.total_size_exceeded, page.unindexed_count) == (1000, True, 0)


async def test_a_record_is_delivered_at_once_and_found_by_where_it_stands(
    client: CrmsyncClient,
) -> None:
    """By the status at each CRM, when its sessions have ended."""
    contact_id = await create(client, name="Ada")
    await create(client, "bob@example.com", name="Bob")
    answer = await client.search.SyncRecord(pb.SyncRecordRequest(contact_id=contact_id))
    assert {session.crm for session in answer.sessions} == {"brevo", "hubspot"}
    await asyncio.gather(*(finished(client, session.id) for session in answer.sessions))
    both = "sync.hubspot = COMPLETE AND sync.brevo = COMPLETE"
    assert await names(client, "", both) == {"Ada"}
    assert await names(client, "", "NOT sync.hubspot:*") == {"Bob"}
    record = (await client.search.GetRecord(pb.GetRecordRequest(contact_id=contact_id))).record
    complete = contact_sync_pb2.SYNC_STATUS_COMPLETE
    assert record.contact_syncs["hubspot"].sync_status == complete
    assert record.contact_syncs["hubspot"].crm_contact_id


@pytest.mark.parametrize("text", ["ada", "'; DROP TABLE contacts; --", "ada\\"])
async def test_searches_come_back(client: CrmsyncClient, text: str) -> None:
    """As recent ones, and as suggestions."""
    await names(client, text)
    recent = await client.search.ListRecentSearches(pb.ListRecentSearchesRequest())
    assert [one.text for one in recent.searches] == [text]
    suggested = await client.search.SuggestRecords(pb.SuggestRecordsRequest(text=text[:2] + "a"))
    told = [one.text for one in suggested.suggestions]
    assert told == ([text] if text.startswith(text[:2] + "a") else [])


async def test_bad_requests_change_nothing(client: CrmsyncClient) -> None:
    """And say what would be right."""
    wrong = pb.SearchRecordsRequest(filter="city = Rome")
    refused = await failure(client.search.SearchRecords(wrong))
    assert refused.reason == "INVALID_FILTER"
    assert "company" in refused.metadata["expected"]
    unknown = pb.SyncRecordRequest(contact_id="0191c6ab-7c00-7000-8000-000000000001")
    assert (await failure(client.search.SyncRecord(unknown))).reason == "CONTACT_NOT_FOUND"
    recent = await client.search.ListRecentSearches(pb.ListRecentSearchesRequest())
    assert list(recent.searches) == []


async def test_filters_name_what_an_import_brought(client: CrmsyncClient) -> None:
    """Properties included."""
    contact = contact_pb2.Contact(email="ada@example.com", properties={"plan": "gold"})
    await client.import_contacts([contact])
    answer = await client.search.ListFilters(pb.ListFiltersRequest())
    assert answer.fields[-1].field == "properties.plan"
