"""SearchRecords: what text and filters find, in which order, page by page."""

from collections.abc import AsyncGenerator
from uuid import UUID

import grpc
import pytest

from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.store import contact
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from tests.rpc.contacts import OTHER, refusal
from tests.rpc.searches import ORG, Searching, index, searching
from tests.store import people
from tests.store.failing import fail

_WIDE = "\U00010400"  # a letter of four bytes
PEOPLE = (
    Content("jose.garcia@example.com", first_name="José", last_name="García", company="Écoles"),
    Content("soren@example.org", first_name="Søren", last_name="Strauß", phone="+49 30 901820"),
    Content("ada@example.com", name="Ada", company="Acme Ltd", tags=("VIP",)),
    Content("bob@acme.test", name="Bob", phone="(030) 44-55", properties={"plan": "Gold"}),
    Content(None, name="Cy", company="O'Neil & Sons", properties={"plan": "free", "Big deal": "y"}),
)


@pytest.fixture(params=["not indexed yet", "indexed"])
async def service(database: Database, request: pytest.FixtureRequest) -> AsyncGenerator[Searching]:
    """Run the service over five contacts, known to the index or not."""
    async with searching(database) as running:
        await running.add(*PEOPLE)
        await running.add(Content("jose@example.com", name="Other José"), org_id="globex")
        if request.param == "indexed":
            await index(database)
        yield running


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "Cy|Bob|Ada|Søren Strauß|José García"),
        ("jose", "José García"),
        ("JOSÉ garc", "José García"),
        ("garc jos", "José García"),
        ("garcia@exam", "José García"),
        ("soren strauss", "Søren Strauß"),
        ("Strauß", "Søren Strauß"),
        ("ecoles", "José García"),
        ("acme", "Bob|Ada"),
        ("acme ada", "Ada"),
        ("lovelace", ""),
        ("arcia", ""),
        ("+49 30 90", "Søren Strauß"),
        ("493090", "Søren Strauß"),
        ("0304", "Bob"),
        ("o'neil", "Cy"),
        ("sons & o", "Cy"),
        ("%", None),
        ("'; DROP TABLE contacts; --", ""),
        ("ada:* | bob", ""),
        ("\\", None),
    ],
)
async def test_text_finds_words_by_their_beginnings(
    service: Searching, text: str, names: str | None
) -> None:
    """In any of the fields, without accents and case; a text without words is refused."""
    if names is None:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await service.names(text)
        assert refusal(failure).fields == ["text"]
        return
    assert await service.names(text) == [one for one in names.split("|") if one]


@pytest.mark.parametrize(
    ("text", "filter_text", "names"),
    [
        ("", "tags:vip", "Ada"),
        ("", "company = 'acme ltd'", "Ada"),
        ("", "company = acme*", "Ada"),
        ("", "company:cme", "Ada"),
        ("", 'company = "*o\'neil & s*"', "Cy"),
        ("", "email = *@example.com", "Ada|José García"),
        ("", "properties.plan = gold", "Bob"),
        ("", "properties.plan = g*", "Bob"),
        ("", "properties:plan", "Cy|Bob"),
        ("", 'properties."Big deal":*', "Cy"),
        ("", "properties.plan = gold OR tags:vip", "Bob|Ada"),
        ("", "properties.plan = gold OR company:*", "Cy|Bob|Ada|José García"),
        ("", "NOT (properties.plan = gold OR tags:vip)", "Cy|Søren Strauß|José García"),
        ("", "properties.plan != gold AND has_email = true", "Ada|Søren Strauß|José García"),
        ("", "name = José*", "José García"),
        # A letter that is folded to nothing.
        ("", 'name = "\u037a" OR name = Ada', "Ada"),
        ("", f"properties.{_WIDE * 100}:* OR tags:vip", "Ada"),
        ("", "has_phone = true AND unread = false", "Bob|Søren Strauß"),
        ("", "create_time > 2020-01-01 AND version = 1", "Cy|Bob|Ada|Søren Strauß|José García"),
        ("", "update_time > 2999-01-01T00:00:00Z", ""),
        ("", "NOT sync.hubspot:*", "Cy|Bob|Ada|Søren Strauß|José García"),
        ("acme", "tags:vip", "Ada"),
        ("acme", "NOT tags:vip", "Bob"),
        ("acme", "tags:nobody", ""),
    ],
)
async def test_filters_narrow_what_is_found(
    service: Searching, text: str, filter_text: str, names: str
) -> None:
    """Every kind of field, with AND, OR, NOT and parentheses, beside a text or alone."""
    assert await service.names(text, filter_text) == [one for one in names.split("|") if one]


async def test_a_standing_is_a_field(service: Searching) -> None:
    """By its status, whichever case it is written in; and it is told with the record."""
    found = await service.stub.SearchRecords(pb.SearchRecordsRequest(text="ada"))
    contact_id = UUID(found.records[0].contact.id)
    await fail(service.database, [contact_id])
    assert await service.names("", "sync.hubspot = error") == ["Ada"]
    assert await service.names("", "sync.hubspot = COMPLETE OR sync.zoho:*") == []
    page = await service.stub.SearchRecords(pb.SearchRecordsRequest(filter="sync.hubspot:*"))
    [record] = page.records
    assert record.contact_syncs["hubspot"].error.code == "VALIDATION_ERROR"
    assert list(record.contact_syncs) == ["hubspot"]


async def test_a_change_is_found_before_it_is_indexed(service: Searching) -> None:
    """By the new words, and no longer by the old ones; a deleted contact by none."""
    page = await service.stub.SearchRecords(pb.SearchRecordsRequest(text="ada"))
    contact_id = UUID(page.records[0].contact.id)
    async with service.database.org(ORG) as connection:
        await contact.update(connection, ORG, contact_id, lambda old: old._replace(name="Zoë"))
    assert (await service.names("zoe"), await service.names("acme zoe")) == (["Zoë"], ["Zoë"])
    assert await service.names("zoe", "tags:vip") == ["Zoë"]
    async with service.database.org(ORG) as connection:
        await contact.delete(connection, ORG, contact_id)
    assert await service.names("zoe") == []


@pytest.mark.parametrize(
    ("order_by", "names"),
    [
        ("name", "Ada|Bob|Cy|José García|Søren Strauß"),
        ("name desc", "Søren Strauß|José García|Cy|Bob|Ada"),
        ("email", "Ada|Bob|José García|Søren Strauß|Cy"),
        ("email desc", "Søren Strauß|José García|Bob|Ada|Cy"),
        ("create_time", "José García|Søren Strauß|Ada|Bob|Cy"),
        ("update_time desc", "Cy|Bob|Ada|Søren Strauß|José García"),
    ],
)
async def test_pages_follow_the_order(service: Searching, order_by: str, names: str) -> None:
    """In both directions, those without a value last, with a text or without."""
    assert await service.names(order_by=order_by) == names.split("|")
    every = "version >= 1 AND (has_email = true OR name:*)"
    assert await service.names("", every, order_by) == names.split("|")


async def test_facets_count_what_is_found(service: Searching) -> None:
    """Each value with a filter that finds as many."""
    names = ["email_domain", "tags", "company", "domain_id", "sync"]
    request = pb.SearchRecordsRequest(filter="has_email = true", facets=names, page_size=1)
    page = await service.stub.SearchRecords(request)
    assert page.facet_sample_size == page.total_size == 4
    assert [facet.field for facet in page.facets] == names[:4]
    counts = {facet.field: {one.value: one.count for one in facet.values} for facet in page.facets}
    assert counts == {
        "email_domain": {"example.com": 2, "acme.test": 1, "example.org": 1},
        "tags": {"VIP": 1},
        "company": {"Acme Ltd": 1, "Écoles": 1},
        "domain_id": {},
    }
    for facet in page.facets:
        for one in facet.values:
            assert len(await service.names("", one.filter)) == one.count


async def test_facets_count_without_regard_to_case(database: Database) -> None:
    """As filters compare: one value, written as most have it, and each contact once."""
    values = ("Ünï", "ünï", "a\\b", 'q"q', "st*r", "new\nline", "%_", " pad ", "NULL", "{a,b}")
    async with searching(database) as service:
        for value in values:
            await service.add(Content(name="x", company=value, tags=(value, "VIP", "Vip", "VIP2")))
        await service.add(Content(name="y", company="ÜNÏ", tags=("vip",)))
        await service.add(Content(name="z", company="ÜNÏ", tags=("vip", "ünï")))
        await index(database)
        request = pb.SearchRecordsRequest(facets=["tags", "company"])
        page = await service.stub.SearchRecords(request)
        tags, companies = page.facets
        assert [(one.value, one.count) for one in tags.values][:2] == [("VIP", 12), ("VIP2", 10)]
        assert (companies.values[0].value, companies.values[0].count) == ("ÜNÏ", 4)
        for one in (*tags.values, *companies.values):
            assert len(await service.names("", one.filter)) == one.count, one.value


async def test_facets_of_standings_come_for_each_crm(service: Searching) -> None:
    """With the statuses there."""
    page = await service.stub.SearchRecords(pb.SearchRecordsRequest())
    ids = [UUID(record.contact.id) for record in page.records]
    await fail(service.database, ids[:2])
    await fail(service.database, ids[:1], crm="brevo")
    page = await service.stub.SearchRecords(pb.SearchRecordsRequest(facets=["sync"]))
    told = {(facet.field, one.value): one.count for facet in page.facets for one in facet.values}
    assert told == {("sync.brevo", "ERROR"): 1, ("sync.hubspot", "ERROR"): 2}
    assert [facet.values[0].filter for facet in page.facets][1] == "sync.hubspot = ERROR"


async def test_a_page_token_serves_only_its_own_search(service: Searching) -> None:
    """Not another text, filter or order, and no other organization."""
    first = pb.SearchRecordsRequest(page_size=1)
    token = (await service.stub.SearchRecords(first)).next_page_token
    others = [
        pb.SearchRecordsRequest(page_token=token, text="acme"),
        pb.SearchRecordsRequest(page_token=token, filter="tags:vip"),
        pb.SearchRecordsRequest(page_token=token, order_by="name"),
        pb.SearchRecordsRequest(page_token=token[:-4] + "AAAA"),
    ]
    for request in others:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await service.stub.SearchRecords(request)
        assert refusal(failure).reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await service.stub.SearchRecords(pb.SearchRecordsRequest(page_token=token), metadata=OTHER)
    assert refusal(failure).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("filter_text", "position", "told"),
    [
        ("name = ada AND city = Rome", "16", "version"),
        ("sync.salesforce = ERROR", "1", "one of sync.brevo, sync.hubspot, sync.zoho"),
        ("sync.hubspot = DONE", "16", "one of SELECTED, QUEUED, PROCESSING, COMPLETE, ERROR"),
        ("sync.hubspot > ERROR", "14", "one of = !="),
        ("has_email = maybe", "13", "true or false"),
    ],
)
async def test_a_wrong_filter_says_what_would_be_right(
    service: Searching, filter_text: str, position: str, told: str
) -> None:
    """The character, and the fields or values that there are."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await service.stub.SearchRecords(pb.SearchRecordsRequest(filter=filter_text))
    refused = refusal(failure)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FILTER")
    assert refused.metadata["position"] == position
    assert told in refused.metadata["expected"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SearchRecordsRequest(text="x" * 201), "text"),
        (pb.SearchRecordsRequest(text=" "), "text"),
        (pb.SearchRecordsRequest(order_by="company"), "order_by"),
        (pb.SearchRecordsRequest(page_size=-1), "page_size"),
        (pb.SearchRecordsRequest(facets=["notes"]), "facets[0]"),
        (pb.SearchRecordsRequest(facets=["tags", "tags"]), "facets"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_input_is_refused_by_its_field(
    service: Searching, request_: pb.SearchRecordsRequest, field: str
) -> None:
    """Before anything is read."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await service.stub.SearchRecords(request_)
    assert refusal(failure).fields == [field]


async def test_a_total_is_counted_to_its_limit(database: Database) -> None:
    """And says that there are more."""
    async with searching(database) as service:
        await people.populate(database, 1001)
        page = await service.stub.SearchRecords(pb.SearchRecordsRequest(filter="has_email = true"))
        assert (page.total_size, page.total_size_exceeded) == (1000, True)
        page = await service.stub.SearchRecords(pb.SearchRecordsRequest(filter="NOT name:*"))
        assert (page.total_size, page.total_size_exceeded) == (1000, True)
        rare = pb.SearchRecordsRequest(filter="NOT email:*")
        page = await service.stub.SearchRecords(rare)
        assert (page.total_size, page.total_size_exceeded) == (0, False)
