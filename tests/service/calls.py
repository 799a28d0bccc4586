"""Short ways to say what the service tests say often."""

from collections.abc import Awaitable
from uuid import uuid4

import grpc
import pytest

from crmsync.v1 import contact_pb2, contact_service_pb2, session_pb2, sync_service_pb2
from crmsync_client import CrmsyncClient
from crmsync_client.errors import Failure


async def create(client: CrmsyncClient, email: str = "ada@example.com", **fields: str) -> str:
    """Create a contact and return its id."""
    contact = contact_pb2.Contact(email=email)
    for name, value in fields.items():
        setattr(contact, name, value)
    request = contact_service_pb2.CreateContactRequest(contact=contact)
    return (await client.contacts.CreateContact(request)).contact.id


async def import_many(client: CrmsyncClient, count: int) -> None:
    """Import contacts that differ in their email."""
    await client.import_contacts(
        [
            contact_pb2.Contact(email=f"person{number}@example.com", first_name=f"P{number}")
            for number in range(count)
        ]
    )


async def queue_all(client: CrmsyncClient, crm: str = "hubspot") -> session_pb2.Session:
    """Queue every contact for a CRM and return the session."""
    request = sync_service_pb2.QueueAllContactsRequest(crm=crm)
    return (await client.sync.QueueAllContacts(request)).session


async def finished(client: CrmsyncClient, session_id: str) -> session_pb2.Session:
    """Watch a session to its end and return its final state."""
    states = [state async for state in client.watch_session(session_id)]
    return states[-1]


async def failure(call: Awaitable[object]) -> Failure:
    """Return how a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return Failure.of(raised.value)


def new_uuid() -> str:
    """Return a UUID that names nothing yet."""
    return str(uuid4())
