"""ContactService but for lists and imports: what each call promises, over a real channel."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import contact_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2_grpc import ContactServiceStub
from crmsync_server.store.db import Database
from tests.rpc.contacts import OTHER, create, refusal, serving


@pytest.fixture
async def stub(database: Database) -> AsyncGenerator[ContactServiceStub]:
    """Connect to a running service."""
    async with serving(database) as stub:
        yield stub


ADA = Contact(
    email="Ada@Example.com",
    first_name="Ada",
    last_name="Lovelace",
    phone="+44 20 7946 0000",
    company='Analytical "Engines"',
    tags=["vip", 'a "quoted" \\ {tag},'],
    notes="ε 😀",
    avatar="https://example.com/ada.png",
    domain_id="0191c6ab-7c00-7000-8000-000000000001",
    properties={"plan": "gold", "note": 'with "quotes" and \\'},
)


async def update(
    stub: ContactServiceStub, contact: Contact, *paths: str, request_id: str = ""
) -> Contact:
    """Change the named fields of a contact."""
    mask = FieldMask(paths=paths) if paths else None
    request = pb.UpdateContactRequest(contact=contact, update_mask=mask, request_id=request_id)
    return (await stub.UpdateContact(request)).contact


async def get(stub: ContactServiceStub, contact_id: str) -> Contact:
    """Read a contact of ORG."""
    return (await stub.GetContact(pb.GetContactRequest(contact_id=contact_id))).contact


async def test_a_contact_is_returned_as_it_was_given(stub: ContactServiceStub) -> None:
    """Every field that callers write, and those that the server sets."""
    created = await create(stub, ADA)
    assert created == await get(stub, created.id)
    assert created.version == 1
    assert created.create_time == created.update_time
    assert created.create_time.seconds
    given = Contact()
    given.MergeFrom(ADA)
    given.name = "Ada Lovelace"
    for field in ("id", "version", "create_time", "update_time"):
        created.ClearField(field)
    assert created == given


@pytest.mark.parametrize("org", ["own", "other"])
async def test_an_unknown_contact_and_somebody_elses_look_the_same(
    stub: ContactServiceStub, org: str
) -> None:
    """Nobody learns from an answer that another organization has such a contact."""
    contact_id = str(uuid4()) if org == "own" else (await create(stub, ADA)).id
    metadata = None if org == "own" else OTHER
    calls = (
        stub.GetContact(pb.GetContactRequest(contact_id=contact_id), metadata=metadata),
        stub.DeleteContact(pb.DeleteContactRequest(contact_id=contact_id), metadata=metadata),
        stub.UpdateContact(
            pb.UpdateContactRequest(contact=Contact(id=contact_id, notes="x")), metadata=metadata
        ),
    )
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        refused = refusal(failure)
        assert refused.code is grpc.StatusCode.NOT_FOUND
        assert refused.reason == "CONTACT_NOT_FOUND"
        resource = refused.detail(error_details_pb2.ResourceInfo)
        assert resource.resource_name == contact_id


async def test_every_violation_is_reported_at_once(stub: ContactServiceStub) -> None:
    """Whoever mends the request mends it once."""
    contact = Contact(email="no address", first_name="x" * 101, tags=["a", "a"], domain_id="1")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await create(stub, contact)
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {
        "contact.email",
        "contact.first_name",
        "contact.tags",
        "contact.domain_id",
    }


@pytest.mark.parametrize(
    "contact",
    [Contact(company="Acme"), Contact(name="a\0b"), Contact(name="a", properties={"a": "\0"})],
    ids=["nobody", "nul", "nul in a property"],
)
async def test_what_cannot_be_kept_is_refused(stub: ContactServiceStub, contact: Contact) -> None:
    """A contact without a name or address, and text that Postgres cannot hold."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await create(stub, contact)
    assert refusal(failure).reason == "INVALID_REQUEST"


async def test_an_email_is_taken_whatever_its_case(stub: ContactServiceStub) -> None:
    """The refusal names who has it; another organization may have the same."""
    first = await create(stub, ADA)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await create(stub, Contact(email="aDA@eXAMPLE.com"))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert (refused.reason, refused.metadata) == ("EMAIL_TAKEN", {"contact_id": first.id})
    request = pb.CreateContactRequest(contact=ADA)
    assert (await stub.CreateContact(request, metadata=OTHER)).contact.id != first.id


async def test_space_around_an_email_does_not_count(stub: ContactServiceStub) -> None:
    """Neither when a contact is created, nor when it is changed."""
    first = await create(stub, Contact(email=" ada@example.com "))
    assert first.email == "ada@example.com"
    assert await update(stub, Contact(id=first.id, email="\tada@example.com\n"), "email") == first
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await create(stub, Contact(email="ADA@example.com "))
    assert refusal(failure).metadata == {"contact_id": first.id}


async def test_an_email_cannot_be_changed_to_one_that_is_taken(stub: ContactServiceStub) -> None:
    """The contact stays as it was, and its own email in another spelling is no clash."""
    first = await create(stub, ADA)
    second = await create(stub, Contact(email="grace@example.com"))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=second.id, email="ADA@example.com"))
    assert refusal(failure).metadata == {"contact_id": first.id}
    assert await get(stub, second.id) == second
    assert (await update(stub, Contact(id=first.id, email="ada@example.com"))).version == 2


async def test_a_deleted_contact_is_gone_and_its_email_free(stub: ContactServiceStub) -> None:
    """Deleting twice is NOT_FOUND."""
    first = await create(stub, ADA)
    await stub.DeleteContact(pb.DeleteContactRequest(contact_id=first.id))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.DeleteContact(pb.DeleteContactRequest(contact_id=first.id))
    assert refusal(failure).code is grpc.StatusCode.NOT_FOUND
    assert (await create(stub, ADA)).id != first.id


async def test_without_a_mask_only_what_is_given_changes(stub: ContactServiceStub) -> None:
    """Empty fields say nothing."""
    first = await create(stub, ADA)
    changed = await update(stub, Contact(id=first.id, company="New", tags=["one"]))
    assert (changed.company, list(changed.tags)) == ("New", ["one"])
    assert (changed.email, changed.phone, changed.version) == (first.email, first.phone, 2)


async def test_with_a_mask_what_is_named_changes_even_to_nothing(stub: ContactServiceStub) -> None:
    """And what is not named stays, whatever the request holds."""
    first = await create(stub, ADA)
    changed = await update(stub, Contact(id=first.id, company="x"), "phone", "tags", "domain_id")
    assert (changed.phone, list(changed.tags), changed.domain_id) == ("", [], "")
    assert (changed.company, changed.properties) == (first.company, first.properties)


async def test_one_property_can_be_set_or_removed(stub: ContactServiceStub) -> None:
    """The others stay; a name with a dot is a name."""
    first = await create(stub, ADA)
    given = Contact(id=first.id, properties={"plan": "silver", "a.b": "c", "ignored": "x"})
    changed = await update(stub, given, "properties.plan", "properties.a.b", "properties.note")
    assert dict(changed.properties) == {"plan": "silver", "a.b": "c"}


async def test_a_mask_lists_everything_that_cannot_be_changed(stub: ContactServiceStub) -> None:
    """Output-only fields, and names that no field has."""
    first = await create(stub, ADA)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=first.id), "version", "notes", "shoe_size", "properties.")
    assert refusal(failure).fields == [f"update_mask.paths[{place}]" for place in (0, 2, 3)]


async def test_an_update_without_an_id_is_refused(stub: ContactServiceStub) -> None:
    """The id of Contact is the server's on creation, so no rule of the message asks for it."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(notes="x"))
    assert refusal(failure).fields == ["contact.id"]


async def test_properties_added_one_by_one_stay_within_their_limit(
    stub: ContactServiceStub,
) -> None:
    """The hundred and first is refused."""
    first = await create(stub, Contact(name="x", properties={f"p{i}": "" for i in range(100)}))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=first.id, properties={"more": ""}), "properties.more")
    assert refusal(failure).fields == ["contact.properties"]


async def test_a_contact_keeps_something_to_know_it_by(stub: ContactServiceStub) -> None:
    """Its last name or address cannot be taken away."""
    first = await create(stub, Contact(phone="+1"))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=first.id), "phone")
    assert refusal(failure).fields == ["contact"]


async def test_a_change_for_another_version_changes_nothing(stub: ContactServiceStub) -> None:
    """It is ABORTED with the present version; that one is then accepted."""
    first = await create(stub, ADA)
    second = await update(stub, Contact(id=first.id, notes="b", version=first.version))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=first.id, notes="c", version=first.version))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.ABORTED
    assert (refused.reason, refused.metadata) == ("VERSION_MISMATCH", {"version": "2"})
    assert await get(stub, first.id) == second


async def test_a_change_to_the_same_values_is_none(stub: ContactServiceStub) -> None:
    """The version stays, so that nothing is delivered again."""
    first = await create(stub, ADA)
    assert await update(stub, Contact(id=first.id, notes=first.notes), "notes") == first


async def test_a_derived_name_follows_and_a_given_one_stays(stub: ContactServiceStub) -> None:
    """Clearing a given name derives it again."""
    first = await create(stub, ADA)
    assert (await update(stub, Contact(id=first.id, last_name="King"))).name == "Ada King"
    assert (await update(stub, Contact(id=first.id, name="The Countess"))).name == "The Countess"
    assert (await update(stub, Contact(id=first.id, last_name="Byron"))).name == "The Countess"
    assert (await update(stub, Contact(id=first.id), "name")).name == "Ada Byron"


async def test_a_repeated_request_gets_the_first_answer(stub: ContactServiceStub) -> None:
    """Even after the contact has changed, and from both of two at once."""
    request = pb.CreateContactRequest(contact=ADA, request_id=str(uuid4()))
    first, second = await asyncio.gather(stub.CreateContact(request), stub.CreateContact(request))
    assert first == second
    await update(stub, Contact(id=first.contact.id, notes="later"))
    assert await stub.CreateContact(request) == first


async def test_a_repeated_update_is_made_once(stub: ContactServiceStub) -> None:
    """The second one finds the version that the first one made, and yet succeeds."""
    first = await create(stub, ADA)
    change = Contact(id=first.id, notes="b", version=1)
    request_id = str(uuid4())
    changed = await update(stub, change, request_id=request_id)
    assert await update(stub, change, request_id=request_id) == changed


async def test_a_request_id_is_the_same_in_either_case(stub: ContactServiceStub) -> None:
    """It is a UUID, not a text."""
    request = pb.CreateContactRequest(contact=ADA, request_id=str(uuid4()))
    first = await stub.CreateContact(request)
    request.request_id = request.request_id.upper()
    assert await stub.CreateContact(request) == first


async def test_a_request_id_serves_one_request(stub: ContactServiceStub) -> None:
    """Another content or another method is refused, with the method it served."""
    request = pb.CreateContactRequest(contact=ADA, request_id=str(uuid4()))
    first = (await stub.CreateContact(request)).contact
    other = pb.CreateContactRequest(contact=Contact(name="B"), request_id=request.request_id)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.CreateContact(other)
    assert refusal(failure).metadata["method"] == "CreateContact"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await update(stub, Contact(id=first.id, notes="x"), request_id=request.request_id)
    assert refusal(failure).reason == "REQUEST_ID_REUSED"


async def test_a_request_that_failed_can_be_repeated(stub: ContactServiceStub) -> None:
    """Its id was rolled back with its work."""
    first = await create(stub, ADA)
    request = pb.CreateContactRequest(contact=ADA, request_id=str(uuid4()))
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.CreateContact(request)
    await stub.DeleteContact(pb.DeleteContactRequest(contact_id=first.id))
    assert (await stub.CreateContact(request)).contact.id != first.id


async def test_a_request_id_of_another_organization_is_another_one(
    stub: ContactServiceStub,
) -> None:
    """Nobody gets an answer that was somebody else's."""
    request = pb.CreateContactRequest(contact=ADA, request_id=str(uuid4()))
    mine = await stub.CreateContact(request)
    theirs = await stub.CreateContact(request, metadata=OTHER)
    assert mine.contact.id != theirs.contact.id
