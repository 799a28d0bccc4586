"""Lists of contacts, page by page: every row once, in every order, and no token misleads."""

import base64
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import grpc
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmsync.v1 import contact_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2_grpc import ContactServiceStub
from crmsync_server.rpc.auth import admit
from crmsync_server.rpc.paging import page_size, page_token
from crmsync_server.store.db import Database
from tests.rpc.contacts import ORG, OTHER, OrganizationIsToken, create, listed, refusal, serving

FIELDS = ("last_message_time", "create_time", "update_time", "name", "email")
ORDERS = ["", *(f"{field}{way}" for field in FIELDS for way in ("", " asc", " desc"))]
PEOPLE = ["", "Ada", "ada", "Zoë", "Émile", "Å", "100%", "a_b", "😀", '"', "\\"]

# The database and its service are the same for all examples: each has an organization of its own.
many_examples = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
async def stub(database: Database) -> AsyncGenerator[ContactServiceStub]:
    """Connect to a running service."""
    async with serving(database) as stub:
        yield stub


async def write_to(database: Database, org_id: str, contact_id: str, minute: int) -> None:
    """Let a contact have been written to, at this minute."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    statement = sa.text("UPDATE contacts SET last_message_time = :moment WHERE id = :id")
    async with database.org(org_id) as connection:
        await connection.execute(statement, {"moment": moment, "id": contact_id})


async def names(stub: ContactServiceStub, request: pb.ListContactsRequest) -> list[str]:
    """Return the names in a list, over all its pages."""
    return [one.name for one in await listed(stub, request)]


async def refused(stub: ContactServiceStub, request: pb.ListContactsRequest) -> str:
    """Return why a page is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ListContacts(request)
    return refusal(failure).reason


@many_examples
@given(
    people=st.lists(st.tuples(st.sampled_from(PEOPLE), st.booleans()), max_size=12),
    written=st.lists(st.integers(0, 2), max_size=12),
    order_by=st.sampled_from(ORDERS),
    size=st.integers(1, 5),
)
async def test_every_contact_is_on_exactly_one_page(
    database: Database,
    stub: ContactServiceStub,
    people: list[tuple[str, bool]],
    written: list[int],
    order_by: str,
    size: int,
) -> None:
    """Whatever the order and the size of the pages, with equal values and missing ones."""
    org_id = uuid4().hex
    caller = (("authorization", f"Bearer {org_id}"),)
    contacts = [
        Contact(name=name, phone="1", email=f"person{place}@example.com" if email else "")
        for place, (name, email) in enumerate(people)
    ]
    messages = [pb.ImportContactsRequest(contacts=contacts)]
    await stub.ImportContacts(iter(messages), metadata=caller)
    request = pb.ListContactsRequest(order_by=order_by, page_size=1000)
    whole = (await stub.ListContacts(request, metadata=caller)).contacts
    for contact, minute in zip(whole, written, strict=False):
        await write_to(database, org_id, contact.id, minute)
    whole = (await stub.ListContacts(request, metadata=caller)).contacts
    paged: list[Contact] = []
    request.page_size = size
    while True:
        page = await stub.ListContacts(request, metadata=caller)
        assert page.total_size == len(people)
        assert len(page.contacts) <= size
        paged += page.contacts
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert paged == list(whole)
    assert len({contact.id for contact in paged}) == len(people)


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("name", ["Ada", "Bob", "Cy", ""]),
        ("name desc", ["Cy", "Bob", "Ada", ""]),
        ("email", ["Bob", "Ada", "", "Cy"]),
        ("email desc", ["", "Ada", "Bob", "Cy"]),
        ("create_time", ["Ada", "Bob", "Cy", ""]),
        ("update_time desc", ["", "Cy", "Bob", "Ada"]),
        ("last_message_time", ["Cy", "Ada", "Bob", ""]),
        ("last_message_time desc", ["Ada", "Cy", "", "Bob"]),
        ("", ["Ada", "Cy", "", "Bob"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_a_list_is_in_the_order_asked_for(
    database: Database, stub: ContactServiceStub, order_by: str, expected: list[str], size: int
) -> None:
    """Contacts without a value come last in either direction."""
    emails = {"Ada": "b@x.com", "Bob": "A@x.com", "Cy": "", "": "c@x.com"}
    for name, email in emails.items():
        contact = await create(stub, Contact(name=name, email=email))
        if minute := {"Ada": 2, "Cy": 1}.get(name):
            await write_to(database, ORG, contact.id, minute)
    request = pb.ListContactsRequest(order_by=order_by, page_size=size)
    assert await names(stub, request) == expected


async def test_pages_are_stable_while_contacts_are_added(stub: ContactServiceStub) -> None:
    """What was there from the first page on is seen once."""
    for name in ("b", "d", "f"):
        await create(stub, Contact(name=name))
    request = pb.ListContactsRequest(order_by="name", page_size=1)
    seen = []
    for added in ("a", "e", "c"):
        page = await stub.ListContacts(request)
        seen += [one.name for one in page.contacts]
        request.page_token = page.next_page_token
        await create(stub, Contact(name=added))
    assert seen == ["b", "d", "e"]
    assert await names(stub, request) == ["f"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("100%", ["100% Ada"]),
        ("%", ["100% Ada"]),
        ("a_b", ["a_b"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("o'neil", ["O'Neil"]),
        ("ADA", ["100% Ada"]),
        ("STRASSE@", ["by email"]),
        ("+44 20", ["by phone"]),
        ("nobody", []),
    ],
)
async def test_a_search_means_its_text_and_nothing_else(
    stub: ContactServiceStub, search: str, expected: list[str]
) -> None:
    """In name, email or phone, without regard to case; no character is a wildcard."""
    for name in ("100% Ada", "a_b", "back\\slash", "O'Neil"):
        await create(stub, Contact(name=name, company="nobody"))
    await create(stub, Contact(name="by email", email="strasse@example.com"))
    await create(stub, Contact(name="by phone", phone="+44 20 7946"))
    request = pb.ListContactsRequest(search=search)
    assert await names(stub, request) == expected
    assert (await stub.ListContacts(request)).total_size == len(expected)


async def test_a_contact_is_listed_when_it_has_every_tag(stub: ContactServiceStub) -> None:
    """One of several is not enough."""
    await create(stub, Contact(name="both", tags=["a", "b", "c"]))
    await create(stub, Contact(name="one", tags=["a"]))
    assert await names(stub, pb.ListContactsRequest(tags=["b", "a"])) == ["both"]


async def test_a_deleted_contact_is_not_listed(stub: ContactServiceStub) -> None:
    """Nor counted; nor is another organization's."""
    gone = await create(stub, Contact(name="gone"))
    await stub.DeleteContact(pb.DeleteContactRequest(contact_id=gone.id))
    request = pb.CreateContactRequest(contact=Contact(name="theirs"))
    await stub.CreateContact(request, metadata=OTHER)
    assert await stub.ListContacts(pb.ListContactsRequest()) == pb.ListContactsResponse()


@pytest.mark.parametrize("order_by", ["shoe_size", "name sideways", "name  desc", " name", "id"])
async def test_an_unknown_order_is_refused(stub: ContactServiceStub, order_by: str) -> None:
    """Rather than ignored."""
    assert await refused(stub, pb.ListContactsRequest(order_by=order_by)) == "INVALID_REQUEST"


async def first_token(stub: ContactServiceStub) -> str:
    """Make two contacts and return the token after the first."""
    for name in ("a", "b"):
        await create(stub, Contact(name=name, tags=["x"]))
        request = pb.CreateContactRequest(contact=Contact(name=name))
        await stub.CreateContact(request, metadata=OTHER)
    page = await stub.ListContacts(pb.ListContactsRequest(page_size=1))
    return page.next_page_token


@pytest.mark.parametrize(
    "query",
    [
        pb.ListContactsRequest(search="a"),
        pb.ListContactsRequest(tags=["x"]),
        pb.ListContactsRequest(order_by="name"),
    ],
    ids=["search", "tags", "order"],
)
async def test_a_token_serves_its_own_query_alone(
    stub: ContactServiceStub, query: pb.ListContactsRequest
) -> None:
    """A page of another list would skip rows without a word."""
    request = pb.ListContactsRequest(page_token=await first_token(stub))
    request.MergeFrom(query)
    assert await refused(stub, request) == "INVALID_PAGE_TOKEN"


async def test_a_token_serves_its_own_organization_alone(stub: ContactServiceStub) -> None:
    """The same list of somebody else is another list."""
    request = pb.ListContactsRequest(page_token=await first_token(stub))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ListContacts(request, metadata=OTHER)
    assert refusal(failure).reason == "INVALID_PAGE_TOKEN"


async def test_the_size_of_pages_may_change_on_the_way(stub: ContactServiceStub) -> None:
    """It selects nothing."""
    request = pb.ListContactsRequest(page_token=await first_token(stub), page_size=7)
    assert len((await stub.ListContacts(request)).contacts) == 1


@many_examples
@given(
    token=st.one_of(
        st.text(min_size=1, max_size=80),
        st.binary(min_size=1, max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    )
)
async def test_no_token_but_our_own_is_taken(stub: ContactServiceStub, token: str) -> None:
    """Whatever it is, the answer is INVALID_ARGUMENT."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ListContacts(pb.ListContactsRequest(page_token=token))
    assert refusal(failure).code is grpc.StatusCode.INVALID_ARGUMENT


@many_examples
@given(place=st.integers(0, 1000), letter=st.sampled_from("Az09-_=\n é"))
async def test_a_token_with_one_letter_changed_is_refused(
    stub: ContactServiceStub, place: int, letter: str
) -> None:
    """Damage is noticed wherever it is."""
    await create(stub, Contact(name="a"))
    await create(stub, Contact(name="b"))
    token = (await stub.ListContacts(pb.ListContactsRequest(page_size=1))).next_page_token
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        request = pb.ListContactsRequest(page_token=changed)
        assert await refused(stub, request) == "INVALID_PAGE_TOKEN"


async def test_pages_of_long_contacts_stay_within_the_limit_of_clients(
    stub: ContactServiceStub,
) -> None:
    """They end early, and the list is whole all the same."""
    properties = {f"p{place}": "😀" * 4000 for place in range(100)}
    for place in range(4):
        await create(stub, Contact(name=f"{place}", properties=properties))
    request = pb.ListContactsRequest(order_by="name", page_size=1000)
    page = await stub.ListContacts(request)
    assert 1 <= len(page.contacts) < 4
    assert page.total_size == 4
    assert await names(stub, request) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_a_forged_token_with_a_moment_out_of_range_is_refused(
    stub: ContactServiceStub, moment: str
) -> None:
    """Postgres could not be given it."""
    outside_a_call: Any = SimpleNamespace(invocation_metadata=tuple)
    await admit(OrganizationIsToken(), "/crmsync.v1.ContactService/ListContacts", outside_a_call)
    request = pb.ListContactsRequest(order_by="create_time")
    request.page_token = page_token(request, [f"={moment}", str(uuid4())])
    assert await refused(stub, request) == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000)])
def test_a_page_has_a_usual_and_a_largest_size(asked: int, given_: int) -> None:
    """As the contract says of every list."""
    assert page_size(asked) == given_


async def test_a_negative_page_size_is_refused(stub: ContactServiceStub) -> None:
    """It is a mistake, not a wish for few."""
    assert await refused(stub, pb.ListContactsRequest(page_size=-1)) == "INVALID_REQUEST"
