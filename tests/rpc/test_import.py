"""ImportContacts: what a stream of contacts becomes, whole, broken, resumed and repeated."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from uuid import uuid4

import grpc
import pytest

from crmsync.v1 import contact_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2_grpc import ContactServiceStub
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.rpc.contacts import OTHER, create, listed, refusal, serving


@pytest.fixture
async def stub(database: Database) -> AsyncGenerator[ContactServiceStub]:
    """Connect to a running service."""
    async with serving(database) as stub:
        yield stub


def people(count: int, first: int = 0) -> list[Contact]:
    """Return contacts with an email each."""
    return [
        Contact(email=f"person{place}@example.com", first_name=f"P{place}", tags=["x"])
        for place in range(first, first + count)
    ]


async def imported(
    stub: ContactServiceStub, *messages: Sequence[Contact], request_id: str = ""
) -> pb.ImportContactsResponse:
    """Import these messages in one stream."""
    requests = [pb.ImportContactsRequest(contacts=one, request_id=request_id) for one in messages]
    return await stub.ImportContacts(iter(requests))


async def acknowledged(
    stub: ContactServiceStub, request_id: str, *messages: Sequence[Contact]
) -> tuple[int, pb.ImportContactsResponse]:
    """Resume an import: ask what is acknowledged, then send these."""
    call = stub.ImportContacts(None)
    await call.write(pb.ImportContactsRequest(request_id=request_id))
    told = await call.initial_metadata()
    for contacts in messages:
        await call.write(pb.ImportContactsRequest(contacts=contacts))
    await call.done_writing()
    return int(told["crmsync-acknowledged"]), await call


async def total(stub: ContactServiceStub) -> int:
    """Count the contacts of ORG."""
    return (await stub.ListContacts(pb.ListContactsRequest(page_size=1))).total_size


async def until(stub: ContactServiceStub, count: int) -> None:
    """Wait for that many contacts."""

    async def there() -> None:
        assert await total(stub) == count

    await eventually(there)


async def test_new_contacts_are_created(stub: ContactServiceStub) -> None:
    """With everything they say, over all messages."""
    response = await imported(stub, people(3), [*people(2, 3), Contact(phone="+1")])
    assert response == pb.ImportContactsResponse(received=6, created=6)
    found = await listed(stub, pb.ListContactsRequest(order_by="email"))
    assert [(one.email, one.name, list(one.tags)) for one in found[:-1]] == [
        (one.email, one.first_name, ["x"]) for one in people(5)
    ]


async def test_a_known_email_updates_what_is_not_empty(stub: ContactServiceStub) -> None:
    """A list that has no column for the phone does not take the phone away."""
    before = await create(stub, Contact(email="A@x.com", first_name="Ada", phone="+1"))
    response = await imported(stub, [Contact(email="a@X.com", company="New")])
    assert response == pb.ImportContactsResponse(received=1, updated=1)
    after = (await stub.GetContact(pb.GetContactRequest(contact_id=before.id))).contact
    assert (after.phone, after.first_name, after.company) == ("+1", "Ada", "New")
    assert after.version == 2


async def test_a_known_email_replaces_properties_as_a_whole(stub: ContactServiceStub) -> None:
    """Tags too; where a record has none, they stay."""
    before = await create(stub, Contact(email="a@x.com", tags=["x"], properties={"a": "1"}))
    await imported(stub, [Contact(email="a@x.com", properties={"b": "2"})])
    after = (await stub.GetContact(pb.GetContactRequest(contact_id=before.id))).contact
    assert (dict(after.properties), list(after.tags)) == ({"b": "2"}, ["x"])


async def test_space_around_an_imported_email_does_not_count(stub: ContactServiceStub) -> None:
    """Tables of contacts are full of it."""
    response = await imported(stub, [Contact(email="a@x.com"), Contact(email=" A@x.com\t")])
    assert response == pb.ImportContactsResponse(received=2, created=1, updated=1)
    [found] = await listed(stub, pb.ListContactsRequest())
    assert found.email == "A@x.com"


async def test_what_is_the_same_is_not_touched(stub: ContactServiceStub) -> None:
    """It keeps its version, and so is not delivered again."""
    await imported(stub, people(5))
    before = await listed(stub, pb.ListContactsRequest())
    response = await imported(stub, people(5))
    assert response == pb.ImportContactsResponse(received=5, unchanged=5)
    assert await listed(stub, pb.ListContactsRequest()) == before


@pytest.mark.parametrize("together", [True, False], ids=["in one message", "in several"])
async def test_of_contacts_with_one_email_the_last_wins(
    stub: ContactServiceStub, *, together: bool
) -> None:
    """However they are divided into messages, and whatever the case of the email."""
    same = [
        Contact(email="a@x.com", first_name="One", phone="+1"),
        Contact(email="A@X.com", first_name="Two"),
        Contact(email="A@X.com", first_name="Two"),
        Contact(email="a@x.com", first_name="Three"),
    ]
    response = await imported(stub, *([same] if together else [[one] for one in same]))
    assert response == pb.ImportContactsResponse(received=4, created=1, updated=2, unchanged=1)
    [found] = await listed(stub, pb.ListContactsRequest())
    assert (found.first_name, found.name, found.phone) == ("Three", "Three", "+1")


async def test_a_rejected_contact_does_not_sink_the_others(stub: ContactServiceStub) -> None:
    """Each is reported with its place in the whole import and every rule that it broke."""
    bad = Contact(email="nobody", phone="1" * 41)
    response = await imported(stub, people(2), [*people(1, 2), bad, Contact(), *people(1, 3)])
    assert (response.received, response.created, response.rejected) == (6, 4, 2)
    first, second = response.rejections
    assert (first.index, first.email) == (3, "nobody")
    assert [one.rule for one in first.violations] == ["string.email", "string.max_len"]
    assert (second.index, [one.field for one in second.violations]) == (4, ["contact"])


async def test_text_that_postgres_cannot_hold_is_rejected(stub: ContactServiceStub) -> None:
    """A NUL anywhere is one contact's fault, and an empty property is none."""
    bad = [
        Contact(email="a@x.com", notes="\0"),
        Contact(email="b@x.com", tags=["a\0"]),
        Contact(email="c@x.com", properties={"\0": "x"}),
        Contact(email="d@x.com", properties={"empty": ""}),
    ]
    response = await imported(stub, bad)
    assert [one.email for one in response.rejections] == ["a@x.com", "b@x.com", "c@x.com"]
    assert response.created == 1


async def test_a_rejected_email_that_postgres_cannot_hold_does_not_sink_its_import(
    stub: ContactServiceStub,
) -> None:
    """An import with an id keeps its rejections; what cannot be kept of them is replaced."""
    request_id = str(uuid4())
    bad = Contact(email="a\0@x.com", properties={"\0": "x"})
    first = await imported(stub, [*people(1), bad], request_id=request_id)
    assert (first.created, [one.email for one in first.rejections]) == (1, ["a\ufffd@x.com"])
    assert await imported(stub, [], request_id=request_id) == first


async def test_the_first_thousand_rejections_are_kept(stub: ContactServiceStub) -> None:
    """All are counted."""
    request_id = str(uuid4())
    messages = [[Contact(email="x")] * 600] * 2
    response = await imported(stub, *messages, request_id=request_id)
    assert (response.rejected, len(response.rejections)) == (1200, 1000)
    assert response.rejections[-1].index == 999
    assert await imported(stub, request_id=request_id) == pb.ImportContactsResponse()
    assert await imported(stub, [], request_id=request_id) == response


async def test_the_answer_is_within_the_limit_of_clients_whatever_was_rejected(
    stub: ContactServiceStub,
) -> None:
    """Long texts are cut, and of many violations the first are told."""
    names = [f"{'😀' * 300}{place}" for place in range(3)]
    bad = Contact(email="😀" * 300, properties=dict.fromkeys(names, "x"))
    response = await imported(stub, *[[bad] * 200] * 5)
    assert len(response.rejections) == 1000
    assert {len(one.email) for one in response.rejections} == {254}
    assert all(one.violations for one in response.rejections)
    assert response.ByteSize() < 4 * 1024 * 1024


async def test_a_message_of_a_thousand_and_one_is_refused(stub: ContactServiceStub) -> None:
    """What came before it is kept, and the error says how much that is."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await imported(stub, people(1000), people(1001, 1000))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refused.reason, refused.metadata["acknowledged"]) == ("IMPORT_INTERRUPTED", "1000")
    assert await total(stub) == 1000


async def test_a_stream_has_one_request_id(stub: ContactServiceStub) -> None:
    """Another one in a later message is a mistake of the caller."""
    request_id = str(uuid4())
    requests = [
        pb.ImportContactsRequest(contacts=people(1), request_id=request_id),
        pb.ImportContactsRequest(contacts=people(1, 1)),
        pb.ImportContactsRequest(contacts=people(1, 2), request_id=str(uuid4())),
    ]
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.ImportContacts(iter(requests))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.metadata == {"acknowledged": "2", "request_id": request_id}


async def test_a_stream_may_repeat_its_request_id_in_another_case(
    stub: ContactServiceStub,
) -> None:
    """It is a UUID, not a text."""
    request_id = str(uuid4())
    requests = [
        pb.ImportContactsRequest(contacts=people(1), request_id=request_id),
        pb.ImportContactsRequest(contacts=people(1, 1), request_id=request_id.upper()),
    ]
    assert (await stub.ImportContacts(iter(requests))).created == 2


async def test_a_broken_import_goes_on_to_the_same_totals(stub: ContactServiceStub) -> None:
    """What was acknowledged is kept, and the rest comes in messages of another size."""
    for caller in (None, OTHER):
        old = Contact(email="person3@example.com", first_name="Old")
        await stub.CreateContact(pb.CreateContactRequest(contact=old), metadata=caller)
    contacts = [*people(4), *people(2), Contact(email="bad"), *people(2, 4), *people(2, 2)]
    request_id = str(uuid4())
    undisturbed = await stub.ImportContacts(
        iter([pb.ImportContactsRequest(contacts=contacts, request_id=request_id)]), metadata=OTHER
    )
    call = stub.ImportContacts(None)
    for message in (contacts[:4], contacts[4:8]):
        await call.write(pb.ImportContactsRequest(contacts=message, request_id=request_id))
    await until(stub, 5)  # the last of the second message is the fifth person
    call.cancel()
    done, response = await acknowledged(stub, request_id, contacts[8:])
    assert done == 8
    assert response == undisturbed
    assert (response.created, response.updated, response.unchanged) == (5, 1, 4)
    assert [one.index for one in response.rejections] == [6]


async def test_a_broken_stream_never_passes_for_a_finished_one(stub: ContactServiceStub) -> None:
    """To the server, the end of what is sent and the end of the connection look much alike."""
    for place in range(20):
        request_id = str(uuid4())
        call = stub.ImportContacts(None)
        contacts = people(2, 2 * place)
        await call.write(pb.ImportContactsRequest(contacts=contacts, request_id=request_id))
        await until(stub, 2 * place + 2)
        call.cancel()
        done, response = await acknowledged(stub, request_id, [Contact(email="bad")])
        assert (done, response.received) == (2, 3)


async def test_a_finished_import_answers_what_it_answered(stub: ContactServiceStub) -> None:
    """Whatever is sent with its id again is not taken in."""
    request_id = str(uuid4())
    first = await imported(stub, [*people(2), Contact(email="bad")], request_id=request_id)
    assert await imported(stub, people(2, 7), request_id=request_id) == first
    assert await total(stub) == 2


async def test_of_two_streams_of_one_import_no_record_counts_twice(
    stub: ContactServiceStub,
) -> None:
    """The one that falls behind is told to go on after the other, and how far that one came."""
    request_id = str(uuid4())
    behind = stub.ImportContacts(None)
    await behind.write(pb.ImportContactsRequest(request_id=request_id))
    await behind.initial_metadata()
    first = await imported(stub, people(3), request_id=request_id)
    await behind.write(pb.ImportContactsRequest(contacts=people(3)))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await behind
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.metadata == {"acknowledged": "3", "request_id": request_id}
    assert await imported(stub, [], request_id=request_id) == first


async def test_imports_of_the_same_people_do_not_block_each_other(
    stub: ContactServiceStub,
) -> None:
    """Two that bring the same emails in opposite order both end, and nobody is there twice."""
    contacts = people(500)
    answers = await asyncio.gather(
        *(imported(stub, contacts, contacts[::-1]) for _ in range(2)),
        *(imported(stub, contacts[::-1], contacts) for _ in range(2)),
    )
    assert sum(answer.created for answer in answers) == 500
    assert sum(answer.unchanged for answer in answers) == 3500
    assert await total(stub) == 500


async def test_an_empty_import_is_one(stub: ContactServiceStub) -> None:
    """A stream without a message brings nothing, and is no error."""
    assert await imported(stub) == pb.ImportContactsResponse()
