"""Importing contacts through broken connections and restarts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import TypeAlias

import grpc

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import ImportContactsRequest, ImportContactsResponse
from crmsync.v1.contact_service_pb2_grpc import ContactServiceStub
from crmsync_client.errors import is_passing
from crmsync_client.retry import Retries, RetryPolicy

Contacts: TypeAlias = Iterable[Contact] | AsyncIterable[Contact]
_Call: TypeAlias = "grpc.aio.StreamUnaryCall[ImportContactsRequest, ImportContactsResponse]"

_ACKNOWLEDGED = "crmsync-acknowledged"


class ImportEndedError(RuntimeError):
    """The server holds the import for finished, and not all of it was taken in.

    It happens when the connection broke in a moment in which that looked like the end. Import the
    contacts again, under another request_id: those that are known already are left as they are.
    """

    def __init__(self, received: int, sent: int) -> None:
        """Take how many records it has, of how many."""
        super().__init__(f"the import was finished with {received} of at least {sent} contacts")


class Import:
    """One import, over as many calls as it takes."""

    def __init__(
        self, stub: ContactServiceStub, contacts: Contacts, request_id: str, chunk: int
    ) -> None:
        """Name the import; nothing is sent yet."""
        self._stub = stub
        one_shot = isinstance(contacts, Iterator | AsyncIterator)
        self._contacts = _Kept(contacts) if one_shot else contacts
        self._request_id = request_id
        self._chunk = chunk

    async def run(self, policy: RetryPolicy) -> ImportContactsResponse:
        """Send everything; whenever a call breaks, go on after what was acknowledged."""
        retries = Retries(policy)
        while True:
            try:
                return await self._attempt(retries)
            except grpc.aio.AioRpcError as error:
                if not is_passing(error):
                    raise
                await retries.wait(error)

    async def _attempt(self, retries: Retries) -> ImportContactsResponse:
        call = self._stub.ImportContacts(None)
        try:
            sent = await self._send(call, retries)
            response = await call
        finally:
            call.cancel()  # a call that is only dropped stays open until its channel closes
        if response.received < sent:
            raise ImportEndedError(response.received, sent)
        return response

    async def _send(self, call: _Call, retries: Retries) -> int:
        """Write everything, or as much as the call takes before it is over; return how much."""
        if not await _written(call, ImportContactsRequest(request_id=self._request_id)):
            return 0
        # Asked on the first call too: a request_id may name an import that another client began.
        acknowledged = await _acknowledged(call)
        if acknowledged is None:
            return 0
        if acknowledged:
            retries.heard()
        sent = acknowledged
        async with aclosing(_chunks(self._contacts, self._chunk, acknowledged)) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                if not await _written(call, ImportContactsRequest(contacts=chunk)):
                    return sent
        with suppress(grpc.aio.InternalError):
            await call.done_writing()
        return sent


async def _written(call: _Call, message: ImportContactsRequest) -> bool:
    """Write a message; False when the call is over, however it ended.

    The error of a failed write is grpc's guess. How the call ended is told by awaiting it.
    """
    try:
        await call.write(message)
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        return False
    return True


async def _acknowledged(call: _Call) -> int | None:
    """Return how many contacts the server holds already; None when it has ended the call."""
    told = (await call.initial_metadata()).get(_ACKNOWLEDGED)
    return None if told is None else int(told)


class _Kept:
    """An iterator that can be read again: what it gave is kept."""

    def __init__(self, rest: Contacts) -> None:
        self._given: list[Contact] = []
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[Contact]:
        for contact in self._given:
            yield contact
        async for contact in _each(self._rest):
            self._given.append(contact)
            yield contact


async def _chunks(
    contacts: Contacts, size: int, skipped: int
) -> AsyncGenerator[list[Contact], None]:
    """Yield the contacts after the skipped ones, so many at a time."""
    chunk: list[Contact] = []
    async for contact in _each(contacts):
        if skipped:
            skipped -= 1
            continue
        chunk.append(contact)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _each(contacts: Contacts) -> AsyncIterator[Contact]:
    if isinstance(contacts, AsyncIterable):
        async for contact in contacts:
            yield contact
    else:
        for contact in contacts:
            yield contact
