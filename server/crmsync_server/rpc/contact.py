"""ContactService: the contacts that an organization keeps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import contact_service_pb2 as pb
from crmsync.v1 import contact_service_pb2_grpc
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.contact_fields import content_of, message_of
from crmsync_server.rpc.contact_import import Import
from crmsync_server.rpc.contact_list import cursor, position_of, search_of
from crmsync_server.rpc.contact_update import change_of
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import fitting, page_size, page_token
from crmsync_server.store import contact, contact_search
from crmsync_server.store.db import Database


@dataclass(frozen=True, slots=True)
class ContactService(contact_service_pb2_grpc.ContactServiceServicer):
    """Keeps contacts; what a change means for deliveries is settled in its own transaction."""

    database: Database

    @override
    async def CreateContact(
        self, request: pb.CreateContactRequest, context: Context
    ) -> pb.CreateContactResponse:
        """Create a contact; see the contract."""
        caller = current_caller()

        async def work(connection: AsyncConnection) -> pb.CreateContactResponse:
            row = await contact.create(connection, caller.org_id, content_of(request.contact))
            return pb.CreateContactResponse(contact=message_of(row))

        async with self.database.org(caller.org_id) as connection:
            return await once(connection, request, pb.CreateContactResponse, work)

    @override
    async def GetContact(
        self, request: pb.GetContactRequest, context: Context
    ) -> pb.GetContactResponse:
        """Return a contact; see the contract."""
        caller = current_caller()
        async with self.database.org(caller.org_id) as connection:
            row = await contact.get(connection, caller.org_id, UUID(request.contact_id))
        return pb.GetContactResponse(contact=message_of(row))

    @override
    async def UpdateContact(
        self, request: pb.UpdateContactRequest, context: Context
    ) -> pb.UpdateContactResponse:
        """Change fields of a contact; see the contract."""
        caller, change = current_caller(), change_of(request)
        contact_id, version = UUID(request.contact.id), request.contact.version

        async def work(connection: AsyncConnection) -> pb.UpdateContactResponse:
            row = await contact.update(connection, caller.org_id, contact_id, change, version)
            return pb.UpdateContactResponse(contact=message_of(row))

        async with self.database.org(caller.org_id) as connection:
            return await once(connection, request, pb.UpdateContactResponse, work)

    @override
    async def DeleteContact(
        self, request: pb.DeleteContactRequest, context: Context
    ) -> pb.DeleteContactResponse:
        """Delete a contact; see the contract."""
        caller = current_caller()
        async with self.database.org(caller.org_id) as connection:
            await contact.delete(connection, caller.org_id, UUID(request.contact_id))
        return pb.DeleteContactResponse()

    @override
    async def ListContacts(
        self, request: pb.ListContactsRequest, context: Context
    ) -> pb.ListContactsResponse:
        """List contacts, page by page; see the contract."""
        caller, size = current_caller(), page_size(request.page_size)
        search = search_of(request)
        after = position_of(request, search.field)
        async with self.database.org(caller.org_id) as connection:
            rows = await contact_search.page(
                connection, caller.org_id, search, size=size + 1, after=after
            )
            total = await contact_search.count(connection, caller.org_id, search)
        page = fitting(map(message_of, rows[:size]))
        more = len(rows) > len(page)
        return pb.ListContactsResponse(
            contacts=page,
            next_page_token=page_token(request, cursor(rows[len(page) - 1])) if more else "",
            total_size=total,
        )

    @override
    async def ImportContacts(
        self, request_iterator: AsyncIterator[pb.ImportContactsRequest], context: Context
    ) -> pb.ImportContactsResponse:
        """Take in contacts from a stream; see the contract."""
        importing = Import(self.database, current_caller().org_id, context)
        return await importing.run(request_iterator)
