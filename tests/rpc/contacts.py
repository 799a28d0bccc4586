"""ContactService behind a real server, called as one organization or another."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # it ships no types
    error_details_pb2,
    status_pb2,
)

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import CreateContactRequest, ListContactsRequest
from crmsync.v1.contact_service_pb2_grpc import (
    ContactServiceStub,
    add_ContactServiceServicer_to_server,
)
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.contact import ContactService
from crmsync_server.rpc.interceptors import CallInterceptor
from crmsync_server.store.db import Database

Detail = TypeVar("Detail", bound=Message)

ORG = "acme"
OTHER = (("authorization", "Bearer globex"),)
"""Call metadata of a caller in another organization."""

_DETAILS = "grpc-status-details-bin"


class OrganizationIsToken:
    """Takes the token for the name of the organization."""

    async def authenticate(self, token: str | None) -> Caller:
        """Return a writer of that organization, or of ORG."""
        return Caller(token or ORG, "tester", frozenset({Role.WRITER}))


@asynccontextmanager
async def serving(database: Database) -> AsyncGenerator[ContactServiceStub]:
    """Run the service on a port of its own, and connect to it."""
    server = grpc.aio.server(interceptors=[CallInterceptor(OrganizationIsToken())])
    add_ContactServiceServicer_to_server(ContactService(database), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ContactServiceStub(channel)
    await server.stop(None)


async def create(stub: ContactServiceStub, contact: Contact) -> Contact:
    """Create a contact of ORG."""
    return (await stub.CreateContact(CreateContactRequest(contact=contact))).contact


async def listed(stub: ContactServiceStub, request: ListContactsRequest) -> list[Contact]:
    """Read all pages of a list."""
    contacts: list[Contact] = []
    while True:
        page = await stub.ListContacts(request)
        contacts += page.contacts
        if not page.next_page_token:
            return contacts
        request.page_token = page.next_page_token


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call failed."""

    code: grpc.StatusCode
    status: status_pb2.Status

    @property
    def reason(self) -> str:
        """Return the name of its ErrorReason."""
        return str(self.detail(error_details_pb2.ErrorInfo).reason)

    @property
    def metadata(self) -> dict[str, str]:
        """Return what its reason is about."""
        return dict(self.detail(error_details_pb2.ErrorInfo).metadata)

    @property
    def fields(self) -> list[str]:
        """Return the fields that broke their rules."""
        broken = self.detail(error_details_pb2.BadRequest).field_violations
        return [one.field for one in broken]

    def detail(self, kind: type[Detail]) -> Detail:
        """Return the detail of this kind."""
        found = kind()
        assert any(detail.Unpack(found) for detail in self.status.details)
        return found


def refusal(failure: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> Refusal:
    """Read how a call failed."""
    # The stubs tell of the metadata that calls outside asyncio have.
    trailing = cast("grpc.aio.Metadata", failure.value.trailing_metadata())
    return Refusal(failure.value.code(), status_pb2.Status.FromString(trailing[_DETAILS]))
