"""A server with a connected WhatsApp account, and people with telephones before it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import httpx

from crmsync.v1 import contact_pb2, contact_service_pb2, conversation_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.whatsapp import WhatsApp
from crmsync_server.sandbox.whatsapp_hook import signature
from crmsync_server.settings import Settings
from tests.service.conftest import SECRET

VERIFY = "a token that Meta shows"
JOHN = "919876543210"
JANE = "4915112345678"

OPEN = conversation_pb2.CONVERSATION_STATUS_OPEN
CLOSED = conversation_pb2.CONVERSATION_STATUS_CLOSED
QUEUED = conversation_pb2.MESSAGE_STATUS_QUEUED
SENT = conversation_pb2.MESSAGE_STATUS_SENT
DELIVERED = conversation_pb2.MESSAGE_STATUS_DELIVERED
READ = conversation_pb2.MESSAGE_STATUS_READ
FAILED = conversation_pb2.MESSAGE_STATUS_FAILED
UNKNOWN = conversation_pb2.MESSAGE_STATUS_UNKNOWN


@dataclass(frozen=True, slots=True)
class Chats:
    """A running server and the simulated Meta."""

    client: CrmsyncClient
    target: str
    http: httpx.AsyncClient
    sandbox: Sandbox = field(repr=False)

    @property
    def meta(self) -> WhatsApp:
        """The simulated Meta."""
        return self.sandbox.whatsapp

    @property
    def hook(self) -> str:
        """Where Meta sends webhooks."""
        return f"{self.http.base_url}/webhooks/whatsapp"

    async def connect(self, **changed: str) -> pb.ConnectAccountResponse:
        """Connect the account, and have its webhooks sent here."""
        settings = self.meta.settings
        given = {
            "access_token": settings.access_token,
            "app_secret": settings.app_secret,
            "verify_token": VERIFY,
            "waba_id": settings.waba_id,
            "base_url": self.sandbox.urls["whatsapp"],
        }
        request = pb.ConnectAccountRequest(**given | changed)
        response = await self.client.conversations.ConnectAccount(request)
        self.meta.subscribe(self.hook)
        return response

    async def post(
        self, body: bytes, *, secret: str = "", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Post a body as the app that has this secret, by default the account's."""
        signed = signature(secret or self.meta.settings.app_secret, body)
        shown = {"X-Hub-Signature-256": signed} if headers is None else headers
        return await self.http.post("/webhooks/whatsapp", content=body, headers=shown)

    async def conversations(self, **asked: object) -> Sequence[conversation_pb2.Conversation]:
        """List conversations, the one with the newest message first."""
        request = pb.ListConversationsRequest(**asked)  # type: ignore[arg-type]  # its fields
        return (await self.client.conversations.ListConversations(request)).conversations

    async def conversation(self, count: int = 1) -> pb.GetConversationResponse:
        """Return the newest conversation; AssertionError until it has so many messages."""
        found = await self.conversations()
        assert found
        request = pb.GetConversationRequest(conversation_id=found[0].id, page_size=1000)
        response = await self.client.conversations.GetConversation(request)
        assert response.total_size >= count
        return response

    async def message(self, message_id: str) -> conversation_pb2.Message:
        """Return a message, wherever it is."""
        for one in await self.conversations():
            request = pb.GetConversationRequest(conversation_id=one.id, page_size=1000)
            response = await self.client.conversations.GetConversation(request)
            for message in response.messages:
                if message.id == message_id:
                    return message
        raise AssertionError(message_id)

    async def stands(
        self, message_id: str, status: conversation_pb2.MessageStatus.ValueType
    ) -> conversation_pb2.Message:
        """Return a message; AssertionError until it has this status."""
        found = await self.message(message_id)
        assert found.status == status, found
        return found

    async def send(self, text: str, **asked: object) -> conversation_pb2.Message:
        """Put free text to John into the outbox."""
        who = {"phone": f"+{JOHN}"} if not {"phone", "contact_id"} & set(asked) else {}
        request = pb.SendMessageRequest(text=text, **who | asked)  # type: ignore[arg-type]
        return (await self.client.conversations.SendMessage(request)).message

    async def contacts(self) -> Sequence[contact_pb2.Contact]:
        """List all contacts."""
        request = contact_service_pb2.ListContactsRequest(page_size=1000)
        return (await self.client.contacts.ListContacts(request)).contacts


@asynccontextmanager
async def chatting(
    settings: Settings, sandbox: Sandbox, token: str | None = None
) -> AsyncIterator[Chats]:
    """Run a server that listens for webhooks."""
    listening = settings.model_copy(update={"http_address": "127.0.0.1:0"})
    async with serving(listening, authenticator_of(listening, SECRET)) as running:
        url = f"http://127.0.0.1:{running.http_port}"
        target = f"127.0.0.1:{running.port}"
        async with (
            CrmsyncClient(target, token=token) as client,
            httpx.AsyncClient(base_url=url) as http,
        ):
            yield Chats(client, target, http, sandbox)


def now() -> datetime:
    """Return the time of day, in whole seconds as WhatsApp tells it."""
    return datetime.now(UTC).replace(microsecond=0)


async def told(
    call: Any,  # noqa: ANN401 - a call of the stubs
    count: int,
    patience: float = 10,
) -> Sequence[conversation_pb2.Message]:
    """Read a watch until so many messages have come."""
    found: list[conversation_pb2.Message] = []
    async with asyncio.timeout(patience):
        while len(found) < count:
            response = cast("pb.WatchMessagesResponse", await call.read())
            if response.HasField("message"):
                found.append(response.message)
    return found
