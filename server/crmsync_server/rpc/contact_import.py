"""One stream of ImportContacts: message by message, each a transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import (
    ImportContactsRequest,
    ImportContactsResponse,
    RejectedContact,
)
from crmsync_server.errors import (
    CrmsyncError,
    ImportInterruptedError,
    InvalidRequestError,
    TooManyItemsError,
    UnavailableError,
    Violation,
)
from crmsync_server.rpc.contact_fields import content_of
from crmsync_server.rpc.contact_rejection import rejection
from crmsync_server.rpc.contact_rules import trim, without_identity
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.failures import told
from crmsync_server.rpc.validation import violations
from crmsync_server.store import imports
from crmsync_server.store.contact import is_deadlock
from crmsync_server.store.contact_import import take_in
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.imports import Progress, Rejection

_ACKNOWLEDGED = "crmsync-acknowledged"
_FIELD = "contacts"
_MAX_CONTACTS = 1000
# A stream whose connection broke looks like one that has ended; its cancellation follows a moment
# later, and must find the import unfinished.
_DOUBT = 0.02
_AT_ONCE = 50  # contacts that are looked at before others have their turn: a millisecond
# A message that changes many contacts while all are being queued can, rarely, meet a deadlock
# (once in a hundred under constant collision). It was rolled back whole, so it is taken again.
_TRIES = 3


class Import:
    """An import as far as this stream has brought it.

    While one message is written to the database, the next is looked at.
    """

    def __init__(self, database: Database, org_id: str, context: Context) -> None:
        """Begin with nothing; the first message tells whether it goes on from somewhere."""
        self._database = database
        self._org_id = org_id
        self._context = context
        self._request_id = ""
        self._begun = False
        self._ended = False
        self._progress = Progress()
        self._taken = 0
        self._writing: asyncio.Task[Progress] | None = None

    async def run(self, messages: AsyncIterator[ImportContactsRequest]) -> ImportContactsResponse:
        """Take in all messages and return what became of the contacts.

        Raises:
            ImportInterruptedError: anything went wrong after the first message had come.
        """
        try:
            while not self._ended and (message := await self._next(messages)) is not None:
                await self._take(message)
            await self._settle()
            await self._finish()
        except Exception as error:
            if not self._begun:
                raise
            cause = await self._cause(await self._first(error))
            acknowledged = self._progress.received
            raise ImportInterruptedError(cause, acknowledged, self._request_id) from error
        finally:
            await self._leave()
        return _response(self._progress)

    async def _next(
        self, messages: AsyncIterator[ImportContactsRequest]
    ) -> ImportContactsRequest | None:
        """Return the next message, None after the last; a failure to write ends the wait for it."""
        reading = asyncio.create_task(_read(messages))
        try:
            if self._writing is not None:
                await asyncio.wait((reading, self._writing), return_when=asyncio.FIRST_COMPLETED)
                if self._writing.done():
                    await self._settle()
            return await reading
        finally:
            reading.cancel()

    async def _settle(self) -> None:
        """Have the message that is being written in the database."""
        if (writing := self._writing) is not None:
            self._progress = await writing
            self._writing = None

    async def _first(self, error: Exception) -> Exception:
        """Return what went wrong first: this, or the message before it."""
        try:
            await self._settle()
        except Exception as before:  # noqa: BLE001 - it is told to the caller
            return before
        return error

    async def _leave(self) -> None:
        """Leave nothing under way when the caller is gone."""
        if (writing := self._writing) is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _cause(self, error: Exception) -> CrmsyncError:
        """Return what the caller is told, with what is kept noted as it is now."""
        if not isinstance(error, _OvertakenError):
            return told(error)
        await self._catch_up()
        message = "Another stream of the same import went on meanwhile; resume after it."
        return UnavailableError(message)

    async def _take(self, message: ImportContactsRequest) -> None:
        if not self._begun:
            await self._begin(message.request_id)
        elif message.request_id.lower() not in {"", self._request_id.lower()}:
            rule = "must be unset, or that of the first message"
            raise InvalidRequestError([Violation("request_id", "request_id.same", rule)])
        if (count := len(message.contacts)) > _MAX_CONTACTS:
            raise TooManyItemsError(_FIELD, _MAX_CONTACTS, count)
        if count and not self._ended:
            await self._take_in(message.contacts)

    async def _begin(self, request_id: str) -> None:
        self._request_id = request_id
        if request_id:
            await self._catch_up()
        self._begun = True
        acknowledged = str(self._progress.received)
        await self._context.send_initial_metadata(((_ACKNOWLEDGED, acknowledged),))

    async def _catch_up(self) -> None:
        """Begin the import, or read how far all its streams have brought it."""
        async with self._database.org(self._org_id) as connection:
            self._progress, self._ended = await imports.begin(
                connection, self._org_id, UUID(self._request_id)
            )
        self._taken = self._progress.received

    async def _take_in(self, contacts: Sequence[Contact]) -> None:
        contents, rejections = await _sorted_out(contacts, self._taken)
        self._taken += len(contacts)
        await self._settle()
        self._writing = asyncio.create_task(self._write(contents, rejections))

    async def _write(
        self, contents: Sequence[Content], rejections: Sequence[Rejection]
    ) -> Progress:
        for _ in range(_TRIES - 1):
            try:
                return await self._written(contents, rejections)
            except DBAPIError as error:
                if not is_deadlock(error):
                    raise
        return await self._written(contents, rejections)

    async def _written(
        self, contents: Sequence[Content], rejections: Sequence[Rejection]
    ) -> Progress:
        """Take in one message and return how far the import is then, both in one transaction."""
        async with self._database.org(self._org_id) as connection:
            tally = await take_in(connection, self._org_id, contents)
            more = Progress(
                received=len(contents) + len(rejections),
                created=tally.created,
                updated=tally.updated,
                unchanged=tally.unchanged,
                rejected=len(rejections),
                rejections=rejections,
            )
            if self._request_id and not await imports.advance(
                connection,
                self._org_id,
                UUID(self._request_id),
                before=self._progress,
                more=more,
            ):
                raise _OvertakenError
        return self._progress.plus(more)

    async def _finish(self) -> None:
        if not self._request_id or self._ended:
            return
        await asyncio.sleep(_DOUBT)
        async with self._database.org(self._org_id) as connection:
            request_id = UUID(self._request_id)
            if not await imports.finish(connection, self._org_id, request_id, self._progress):
                raise _OvertakenError


class _OvertakenError(Exception):
    """Another stream of the same import went on meanwhile."""


async def _read(messages: AsyncIterator[ImportContactsRequest]) -> ImportContactsRequest | None:
    return await anext(messages, None)


async def _sorted_out(
    contacts: Sequence[Contact], offset: int
) -> tuple[list[Content], list[Rejection]]:
    """Return the valid contacts, and what is wrong with the others."""
    contents, rejections = [], []
    for index, contact in enumerate(contacts, offset):
        if index % _AT_ONCE == 0:
            await asyncio.sleep(0)
        trim(contact)
        if broken := _broken(contact):
            rejections.append(rejection(index, contact, broken))
        else:
            contents.append(content_of(contact))
    return contents, rejections


def _broken(contact: Contact) -> list[Violation]:
    return [*violations(contact), *without_identity(contact)]


def _response(progress: Progress) -> ImportContactsResponse:
    return ImportContactsResponse(
        received=progress.received,
        created=progress.created,
        updated=progress.updated,
        unchanged=progress.unchanged,
        rejected=progress.rejected,
        rejections=[RejectedContact(**one) for one in progress.rejections],
    )
