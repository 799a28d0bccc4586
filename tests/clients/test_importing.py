"""Importing contacts: in chunks, and on from where a connection broke."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import ImportContactsRequest, ImportContactsResponse
from crmsync_client import CrmsyncClient, ImportEndedError, RetryPolicy
from crmsync_client.importing import Contacts
from tests.clients.scripted import Importing, ScriptedServer


class Intake:
    """Takes in what comes, a transaction for each message, as the contract says."""

    def __init__(self, *breaks_after: int) -> None:
        """Break the calls, in turn, once so many contacts are held; then break none."""
        self.held: list[str] = []
        self.messages: list[int] = []
        self.request_ids: list[str] = []
        self._breaks_after = list(breaks_after)

    async def __call__(
        self, requests: AsyncIterator[ImportContactsRequest], context: Importing
    ) -> ImportContactsResponse:
        """Take in one call."""
        first = await anext(requests)
        self.request_ids.append(first.request_id)
        await context.send_initial_metadata((("crmsync-acknowledged", str(len(self.held))),))
        limit = self._breaks_after.pop(0) if self._breaks_after else None
        self._take(first)
        async for request in requests:
            self._take(request)
            if limit is not None and len(self.held) >= limit:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "as written")
        return ImportContactsResponse(received=len(self.held))

    def _take(self, request: ImportContactsRequest) -> None:
        if request.contacts:
            self.messages.append(len(request.contacts))
            self.held += [contact.email for contact in request.contacts]


def _contacts(count: int) -> list[Contact]:
    return [Contact(email=f"{at}@example.com") for at in range(count)]


def _emails(count: int) -> list[str]:
    return [contact.email for contact in _contacts(count)]


def _iterator(contacts: Iterable[Contact]) -> Iterator[Contact]:
    yield from contacts


async def _async_iterator(contacts: Iterable[Contact]) -> AsyncIterator[Contact]:
    for contact in contacts:
        yield contact


async def test_contacts_are_sent_in_chunks_of_the_size_asked_for(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """The last chunk is what is left."""
    intake = Intake()
    scripted.imports = [intake]
    answer = await crmsync.import_contacts(_contacts(25), chunk=10)
    assert (answer.received, intake.messages) == (25, [10, 10, 5])


@pytest.mark.parametrize("given", [list, tuple, _iterator, _async_iterator])
async def test_a_broken_import_goes_on_after_what_was_acknowledged(
    crmsync: CrmsyncClient, scripted: ScriptedServer, given: Callable[[list[Contact]], Contacts]
) -> None:
    """Whatever the contacts come from, each is sent once and in its order."""
    intake = Intake(20, 50)
    scripted.imports = [intake] * 3
    answer = await crmsync.import_contacts(given(_contacts(95)), chunk=10)
    assert answer.received == 95
    assert intake.held == _emails(95)


async def test_every_part_of_an_import_has_the_same_request_id(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """By it the server knows where to go on."""
    intake = Intake(10)
    scripted.imports = [intake] * 2
    mine = str(uuid4())
    await crmsync.import_contacts(_contacts(30), request_id=mine, chunk=10)
    assert intake.request_ids == [mine, mine]


async def test_another_client_goes_on_after_what_was_acknowledged(
    crmsync: CrmsyncClient, scripted: ScriptedServer, port: int
) -> None:
    """Given the same request_id, it sends nothing twice."""
    intake = Intake(20)
    scripted.imports = [intake] * 2
    mine = str(uuid4())
    impatient = RetryPolicy(patience=timedelta(0))
    async with CrmsyncClient(f"127.0.0.1:{port}", retry=impatient) as other:
        with pytest.raises(grpc.aio.AioRpcError):
            await other.import_contacts(_contacts(35), request_id=mine, chunk=10)
    answer = await crmsync.import_contacts(_contacts(35), request_id=mine, chunk=10)
    assert answer.received == 35
    assert intake.held == _emails(35)


async def test_an_import_without_contacts_is_answered(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """Nothing received is an answer too."""
    scripted.imports = [Intake()]
    assert (await crmsync.import_contacts([])).received == 0


async def test_an_answer_that_comes_early_is_the_answer(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """A finished import that is repeated is answered before everything is sent again."""

    async def script(
        _: AsyncIterator[ImportContactsRequest], __: Importing
    ) -> ImportContactsResponse:
        return ImportContactsResponse(received=7)

    scripted.imports = [script]
    assert (await crmsync.import_contacts(_contacts(5000), chunk=10)).received == 7


async def test_an_import_that_was_finished_too_early_is_no_success(
    crmsync: CrmsyncClient, scripted: ScriptedServer
) -> None:
    """A broken connection was taken for the end: what was not taken in must not be forgotten."""

    async def script(
        _: AsyncIterator[ImportContactsRequest], context: Importing
    ) -> ImportContactsResponse:
        await context.send_initial_metadata((("crmsync-acknowledged", "2"),))
        return ImportContactsResponse(received=2)

    scripted.imports = [script, script]
    assert (await crmsync.import_contacts(_contacts(2))).received == 2
    with pytest.raises(ImportEndedError, match="2 of at least 5"):
        await crmsync.import_contacts(_contacts(5))


async def test_a_refusal_ends_the_import(crmsync: CrmsyncClient, scripted: ScriptedServer) -> None:
    """What another try would not mend is raised at once."""

    async def script(
        _: AsyncIterator[ImportContactsRequest], context: Importing
    ) -> ImportContactsResponse:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "as written")

    scripted.imports = [script]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crmsync.import_contacts(_contacts(5000), chunk=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
