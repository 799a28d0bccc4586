"""Around a search: suggestions, filters, recent searches, records, and their delivery."""

from collections.abc import AsyncGenerator
from uuid import uuid4

import grpc
import pytest

from crmsync.v1 import contact_sync_pb2, search_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.store import recent_search
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.recent_search import Asked
from tests.rpc.contacts import OTHER, refusal
from tests.rpc.searches import ORG, Searching, searching
from tests.store.failing import fail

OFF = CrmTraits(enabled=False, requires_email=False, records_per_second=10)
BY_EMAIL = CrmTraits(enabled=True, requires_email=True, records_per_second=10)


@pytest.fixture
async def service(database: Database) -> AsyncGenerator[Searching]:
    """Run the service: zoho is switched off, and brevo needs an email."""
    async with searching(database, zoho=OFF, brevo=BY_EMAIL) as running:
        yield running


async def suggested(service: Searching, text: str, size: int = 0) -> list[tuple[int, str]]:
    """Return what is suggested for a text, by source."""
    request = pb.SuggestRecordsRequest(text=text, page_size=size)
    answer = await service.stub.SuggestRecords(request)
    return [(one.source, one.text) for one in answer.suggestions]


async def test_suggestions_complete_what_was_begun(service: Searching) -> None:
    """From earlier searches and from contacts, each text once, the newest contacts first."""
    await service.add(
        Content("ana@acme.test", name="Ana Acker", company="Acme"),
        Content("bob@example.com", name="Bob", company="ACME", phone="+49 30 901820"),
        Content("zoë@example.com", name="Zoë"),
    )
    await service.names("acme ana")
    assert await suggested(service, "ac") == [
        (search_pb2.SUGGESTION_SOURCE_RECENT_SEARCH, "acme ana"),
        (search_pb2.SUGGESTION_SOURCE_COMPANY, "ACME"),
        (search_pb2.SUGGESTION_SOURCE_NAME, "Ana Acker"),
        (search_pb2.SUGGESTION_SOURCE_EMAIL, "ana@acme.test"),
    ]
    assert await suggested(service, "4930") == [
        (search_pb2.SUGGESTION_SOURCE_PHONE, "+49 30 901820")
    ]
    assert await suggested(service, "ZOE", 1) == [(search_pb2.SUGGESTION_SOURCE_NAME, "Zoë")]
    assert await suggested(service, "nobody") == []


async def test_suggestions_come_however_letters_are_written(service: Searching) -> None:
    """With or without accents, as a search finds them."""
    await service.add(Content("oe@example.com", name="Øystein Strauß"))
    name = [(search_pb2.SUGGESTION_SOURCE_NAME, "Øystein Strauß")]
    for text in ("oystein", "ØYSTEIN", "strauss", "Strauß", "oys strau"):
        assert await suggested(service, text) == name


async def test_filters_tell_what_may_be_named(service: Searching) -> None:
    """Each with an example that is right, and the organization's own properties."""
    await service.add(
        Content("ada@example.com", properties={"plan": "gold", "Customer since": "2020"}),
        Content("bob@example.com", properties={"plan": "free"}),
    )
    await service.add(Content("eve@example.com", properties={"secret": "x"}), org_id="globex")
    answer = await service.stub.ListFilters(pb.ListFiltersRequest())
    fields = {one.field: one for one in answer.fields}
    assert list(fields)[-2:] == ["properties.plan", 'properties."Customer since"']
    assert fields["sync.hubspot"].choices[3] == "COMPLETE"
    assert list(fields["create_time"].operators) == ["=", "!=", "<", "<=", ">", ">=", ":"]
    assert {name for name, one in fields.items() if one.sortable} == {
        *("create_time", "update_time", "last_message_time", "name", "email")
    }
    for one in answer.fields:
        assert one.type
        await service.names("", one.example)
        for operator in one.operators:
            value = one.example.removeprefix(one.field).lstrip(" =:<>!")
            written = "*" if operator == ":" else value
            await service.names("", f"{one.field} {operator} {written}")


async def test_recent_searches_are_the_callers_own(service: Searching) -> None:
    """The newest first, the same search once, pages and empty searches not at all."""
    await service.add(Content("ada@example.com"), Content("abe@example.com"))
    await service.names()
    await service.names("ada")
    await service.names("ab", "tags:vip")
    await service.names("ada")
    answer = await service.stub.ListRecentSearches(pb.ListRecentSearchesRequest())
    told = [(one.text, one.filter, one.search_count) for one in answer.searches]
    assert told == [("ada", "", 2), ("ab", "tags:vip", 1)]
    assert answer.searches[0].search_time.seconds
    one = await service.stub.ListRecentSearches(pb.ListRecentSearchesRequest(page_size=1))
    assert [search.text for search in one.searches] == ["ada"]
    other = await service.stub.ListRecentSearches(pb.ListRecentSearchesRequest(), metadata=OTHER)
    assert list(other.searches) == []


async def test_a_wrong_search_is_not_remembered(service: Searching) -> None:
    """There is nothing to come back to."""
    with pytest.raises(grpc.aio.AioRpcError):
        await service.names("ada", "no such")
    answer = await service.stub.ListRecentSearches(pb.ListRecentSearchesRequest())
    assert list(answer.searches) == []


async def test_of_many_searches_the_newest_fifty_are_kept(database: Database) -> None:
    """The older ones are forgotten as new ones come."""
    for number in range(recent_search.MOST + 5):
        async with database.org(ORG) as connection:
            await recent_search.keep(connection, ORG, "me", Asked(f"a{number}", "", ""))
    async with database.org(ORG) as connection:
        rows = await recent_search.list(connection, ORG, "me", size=100)
    assert [row.text for row in rows] == [f"a{number}" for number in range(54, 4, -1)]


async def test_a_record_tells_how_it_stands_everywhere(service: Searching) -> None:
    """At CRMs that it was never selected for as well."""
    [ada] = await service.add(Content("ada@example.com", name="Ada"))
    await fail(service.database, [ada])
    request = pb.GetRecordRequest(contact_id=str(ada))
    record = (await service.stub.GetRecord(request)).record
    assert record.contact.name == "Ada"
    statuses = {crm: one.sync_status for crm, one in record.contact_syncs.items()}
    assert statuses == {
        "brevo": contact_sync_pb2.SYNC_STATUS_UNSPECIFIED,
        "hubspot": contact_sync_pb2.SYNC_STATUS_ERROR,
        "zoho": contact_sync_pb2.SYNC_STATUS_UNSPECIFIED,
    }
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await service.stub.GetRecord(request, metadata=OTHER)
    assert refusal(failure).reason == "CONTACT_NOT_FOUND"


async def test_a_record_never_selected_stands_nowhere(service: Searching) -> None:
    """Every CRM is named all the same."""
    [ada] = await service.add(Content("ada@example.com"))
    answer = await service.stub.GetRecord(pb.GetRecordRequest(contact_id=str(ada)))
    assert sorted(answer.record.contact_syncs) == ["brevo", "hubspot", "zoho"]
    assert all(not one.HasField("update_time") for one in answer.record.contact_syncs.values())


async def test_a_record_is_delivered_everywhere_at_once(service: Searching) -> None:
    """Where it can be; the others are named with the reason."""
    ada, cy = await service.add(Content("ada@example.com"), Content(None, name="Cy"))
    answer = await service.stub.SyncRecord(pb.SyncRecordRequest(contact_id=str(ada)))
    assert [session.crm for session in answer.sessions] == ["brevo", "hubspot"]
    assert answer.skipped == {"zoho": "CRM_DISABLED"}
    queued = contact_sync_pb2.SYNC_STATUS_QUEUED
    assert {one.sync_status for one in answer.contact_syncs.values()} == {queued}
    assert service.queued == [(ORG, "brevo"), (ORG, "hubspot")]
    answer = await service.stub.SyncRecord(pb.SyncRecordRequest(contact_id=str(cy)))
    assert answer.skipped == {"brevo": "EMAIL_REQUIRED", "zoho": "CRM_DISABLED"}
    assert list(answer.contact_syncs) == ["hubspot"]


async def test_a_repeated_delivery_is_one(service: Searching) -> None:
    """By its request_id."""
    [ada] = await service.add(Content("ada@example.com"))
    request = pb.SyncRecordRequest(
        contact_id=str(ada), crm="hubspot", force=True, request_id=str(uuid4())
    )
    first = await service.stub.SyncRecord(request)
    assert await service.stub.SyncRecord(request) == first
    assert [session.crm for session in first.sessions] == ["hubspot"]


@pytest.mark.parametrize(
    ("crm", "email", "reason"),
    [
        ("zoho", "ada@example.com", "CRM_DISABLED"),
        ("salesforce", "ada@example.com", "UNKNOWN_CRM"),
        ("brevo", None, "EMAIL_REQUIRED"),
    ],
)
async def test_one_crm_refuses_as_queueing_does(
    service: Searching, crm: str, email: str | None, reason: str
) -> None:
    """And nothing is queued."""
    [someone] = await service.add(Content(email, name="Someone"))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await service.stub.SyncRecord(pb.SyncRecordRequest(contact_id=str(someone), crm=crm))
    assert refusal(failure).reason == reason
    assert service.queued == []


async def test_a_record_that_no_crm_takes_is_refused(database: Database) -> None:
    """With the reason at each."""
    async with searching(database, zoho=OFF, brevo=BY_EMAIL, hubspot=OFF) as service:
        [someone] = await service.add(Content(None, name="Someone"))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await service.stub.SyncRecord(pb.SyncRecordRequest(contact_id=str(someone)))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "NO_CRM_READY"
    told = "brevo=EMAIL_REQUIRED,hubspot=CRM_DISABLED,zoho=CRM_DISABLED"
    assert refused.metadata["skipped"] == told
