"""The wall between organizations, where terms of all of them are in one index that all may read.

docs/decisions/0016 says why they are. What one organization is answered must be the same, byte for
byte, whatever another one has; and the index is asked for nothing of another one.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import search_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import DeleteContactRequest
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.store.db import Database
from crmsync_server.store.search_query import Matching, Query
from tests.service.calls import failure, new_uuid
from tests.service.conftest import SECRET
from tests.store.indexing import index_all
from tests.store.test_search_plans import explain

ORG = "default"
# One whose name goes on, and one whose name is a beginning, of the asking organization's.
OTHERS = ("globex", "default2", "defaul", "default w:")
DOMAIN = new_uuid()
HIDDEN = Contact(
    email="zorro@hidden.test",
    name="Zorro de la Vega",
    phone="+49 30 901820",
    company="Hidden Vineyards",
    tags=["masked"],
    notes="secret lair",
    domain_id=DOMAIN,
    properties={"horse": "Tornado", "sword Arm": "left"},
)
# With words in common with what is hidden: what is asked finds something, but only this.
OWN = Contact(email="own@open.test", name="Own Vega", company="Open", tags=["open"])

TEXTS = ("zorro", "zor", "vega", "hidden", "4930901", "030", "masked", "own")
FILTERS = (
    "email = zorro@hidden.test",
    "email = *@hidden.test",
    "name = 'Zorro de la Vega'",
    "name = z* OR company = Hid*",
    "name:orr",
    "NOT name:zorro",
    "company != 'Hidden Vineyards'",
    "tags:masked",
    "NOT tags:masked",
    "notes:lair",
    f"domain_id = {DOMAIN}",
    "properties.horse = tornado",
    "properties.horse = tor*",
    'properties:horse OR properties."sword Arm":*',
    "NOT properties:horse AND phone:*",
    "tags:open OR tags:masked",
    # What would reach another organization's terms, were the beginning of a term not its own.
    "tags:'/globex/t:masked'",
    "properties.\"x=' | 'globex/p:horse\" = tornado",
    'properties."../globex/p:horse":*',
    "company = \"Hidden' | 'globex/w:hidden\"",
    "name = \"x\\\\' | 'globex/w:zorro\"",
)
FACETS = ["tags", "company", "domain_id", "email_domain", "sync"]


@pytest.fixture
async def others(target: str) -> AsyncGenerator[Sequence[CrmsyncClient]]:
    """Connect as each of the other organizations."""
    clients = [CrmsyncClient(target, token=token_of(org_id)) for org_id in OTHERS]
    yield clients
    for client in clients:
        await client.close()


def token_of(org_id: str) -> str:
    """Return the token of somebody who may do anything in an organization."""
    caller = Caller(org_id, "tester", frozenset({Role.ADMIN}))
    return mint(SECRET, caller, timedelta(minutes=5))


async def answers(client: CrmsyncClient) -> list[Message]:
    """Return all that search, suggestions, facets, totals, filters and files tell."""
    told: list[Message] = []
    asked = [pb.SearchRecordsRequest(facets=FACETS)]
    asked += [pb.SearchRecordsRequest(text=text, facets=FACETS) for text in TEXTS]
    asked += [pb.SearchRecordsRequest(filter=text, facets=FACETS) for text in FILTERS]
    asked += [pb.SearchRecordsRequest(text="vega", filter=text, facets=FACETS) for text in FILTERS]
    for order in ("name", "email desc", "update_time", "last_message_time desc"):
        asked.append(pb.SearchRecordsRequest(filter="NOT tags:masked", order_by=order, page_size=1))
    told += [await client.search.SearchRecords(one) for one in asked]
    for text in TEXTS:
        told.append(await client.search.SuggestRecords(pb.SuggestRecordsRequest(text=text)))
    told.append(await client.search.ListFilters(pb.ListFiltersRequest()))
    for text in ("", *FILTERS):
        request = pb.ExportRecordsRequest(filter=text, format=search_pb2.EXPORT_FORMAT_JSON)
        async for message in client.search.ExportRecords(request):
            message.header.file_name = ""  # the moment
            told.append(message)
    return told


async def test_nothing_that_another_organization_has_changes_an_answer(
    client: CrmsyncClient, others: Sequence[CrmsyncClient], database: Database
) -> None:
    """Not while it is being indexed, not afterwards, and not when it is deleted."""
    await client.import_contacts([OWN])
    await index_all(database)
    await answers(client)  # suggestions tell of the caller's own searches
    before = await answers(client)
    for other in others:
        await other.import_contacts([HIDDEN, *_many()])
    assert await answers(client) == before
    await index_all(database)
    assert await answers(client) == before
    ids = []
    for other in others:
        request = pb.SearchRecordsRequest(text="zorro", filter="properties.horse = tornado")
        [found] = (await other.search.SearchRecords(request)).records
        ids.append(found.contact.id)
        await other.contacts.DeleteContact(DeleteContactRequest(contact_id=found.contact.id))
    assert await answers(client) == before
    for contact_id in ids:
        refused = await failure(client.search.GetRecord(pb.GetRecordRequest(contact_id=contact_id)))
        assert refused.reason == "CONTACT_NOT_FOUND"


async def test_nobody_is_told_what_others_searched_for(
    client: CrmsyncClient, others: Sequence[CrmsyncClient]
) -> None:
    """Neither as recent searches nor as suggestions, though all callers have one name."""
    for other in others:
        await other.search.SearchRecords(pb.SearchRecordsRequest(text="zorro hideout"))
    recent = await client.search.ListRecentSearches(pb.ListRecentSearchesRequest(page_size=50))
    suggested = await client.search.SuggestRecords(pb.SuggestRecordsRequest(text="zor"))
    assert not recent.searches
    assert not suggested.suggestions


async def test_the_index_is_asked_for_nothing_of_another_organization(
    client: CrmsyncClient, others: Sequence[CrmsyncClient], database: Database
) -> None:
    """No entry of it is read, so that no time tells what there is."""
    await client.import_contacts([OWN])
    for other in others:
        await other.import_contacts([HIDDEN, *_many()])
    await index_all(database)
    async with database.everyone() as connection:
        await connection.execute(sa.text("ANALYZE"))  # else the plan is whatever autovacuum knew
    hidden = [Query(ORG, text) for text in TEXTS if text not in {"vega", "own"}]
    hidden += [Query(ORG, "", text) for text in FILTERS if not text.startswith("NOT")]
    async with database.org(ORG) as connection:
        await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        for query in hidden:
            own = 1 if "open" in query.filter else 0
            assert await _entries(connection, query) <= own, query
        # Asked for another organization's it would read them, and still find none of its contacts.
        foreign = Query("globex", "zorro")
        assert await _entries(connection, foreign) > 1_000
        assert not (await connection.execute(Matching(foreign).rows())).all()


async def _entries(connection: AsyncConnection, query: Query) -> int:
    """Return how many entries of the index of terms a search reads."""
    plan = await explain(connection, Matching(query).rows())
    found = [one for one in plan if one.get("Index Name") == "contact_terms_terms_idx"]
    return int(sum(one["Actual Rows"] * one["Actual Loops"] for one in found))


def _many() -> list[Contact]:
    """Return more contacts than a search compares without the index."""
    return [
        Contact(email=f"vega{number}@hidden.test", name="Zorro Vega", tags=["masked", "open"])
        for number in range(1_200)
    ]
