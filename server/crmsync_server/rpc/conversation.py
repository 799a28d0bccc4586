"""ConversationService: WhatsApp accounts, conversations, messages both ways."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import conversation_service_pb2 as pb
from crmsync.v1 import conversation_service_pb2_grpc
from crmsync_server.errors import InvalidPageTokenError
from crmsync_server.rpc import conversation_figures as figures
from crmsync_server.rpc import conversation_messages as messages
from crmsync_server.rpc import conversation_sending, conversation_watch
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.conversation_account import WEBHOOK_PATH, WhatsAppAccounts
from crmsync_server.rpc.conversation_watch import Watch
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.store import conversation, message, message_log, whatsapp
from crmsync_server.store.conversation import Selection
from crmsync_server.store.db import Database

_DAYS = 30

Change = Callable[[AsyncConnection, str, UUID], Awaitable[sa.Row[Any]]]


@dataclass(frozen=True, slots=True)
class ConversationService(conversation_service_pb2_grpc.ConversationServiceServicer):
    """Keeps conversations.

    watch: where changes of messages come from.
    on_queued: told of an organization after a commit that put a message into its outbox.
    """

    database: Database
    accounts: WhatsAppAccounts
    watch: Watch
    on_queued: Callable[[str], None]
    clock: Callable[[], datetime]

    @override
    async def ConnectAccount(
        self, request: pb.ConnectAccountRequest, context: Context
    ) -> pb.ConnectAccountResponse:
        """Connect the account, or change it; see the contract."""
        account = await self.accounts.connect(request)
        return pb.ConnectAccountResponse(account=account, webhook_path=WEBHOOK_PATH)

    @override
    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """Return the account; see the contract."""
        await self.accounts.get()
        if request.refresh:
            await self.accounts.refresh()
        return pb.GetAccountResponse(account=await self.accounts.get())

    @override
    async def GetDashboard(
        self, request: pb.GetDashboardRequest, context: Context
    ) -> pb.GetDashboardResponse:
        """Return an overview; see the contract."""
        account, org_id = await self.accounts.synced(), current_caller().org_id
        async with self.database.org(org_id) as connection:
            response = await figures.dashboard(connection, org_id, self.clock().date())
        response.account.CopyFrom(account)
        return response

    @override
    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        """List conversations, the one with the newest message first; see the contract."""
        await self.accounts.synced()
        org_id, size = current_caller().org_id, page_size(request.page_size)
        selection = Selection(
            messages.status_of(request.status),
            UUID(request.contact_id) if request.contact_id else None,
            request.unread_only,
        )
        async with self.database.org(org_id) as connection:
            rows = await conversation.list(
                connection, org_id, selection, size=size + 1, before=_before(request)
            )
            total = await conversation.count(connection, org_id, selection)
        told = fitting(messages.conversation(row) for row in rows[:size])
        token = ""
        if len(rows) > len(told):
            last = rows[len(told) - 1]
            token = page_token(request, [last.last_message_time.isoformat(), str(last.id)])
        return pb.ListConversationsResponse(
            conversations=told, next_page_token=token, total_size=total
        )

    @override
    async def GetConversation(
        self, request: pb.GetConversationRequest, context: Context
    ) -> pb.GetConversationResponse:
        """Return a conversation with a page of its messages; see the contract."""
        await self.accounts.synced()
        org_id, size = current_caller().org_id, page_size(request.page_size)
        conversation_id = UUID(request.conversation_id)
        async with self.database.org(org_id) as connection:
            bounds = await message_log.bounds(connection)
            found = await conversation.get(connection, org_id, conversation_id)
            rows = await conversation.messages(
                connection, org_id, conversation_id, size=size + 1, before=_before(request)
            )
        told = fitting(
            messages.message(row, message_log.token_of(row, bounds)) for row in rows[:size]
        )
        token = ""
        if len(rows) > len(told):
            last = rows[len(told) - 1]
            token = page_token(request, [last.message_time.isoformat(), str(last.id)])
        return pb.GetConversationResponse(
            conversation=messages.conversation(found),
            messages=told,
            next_page_token=token,
            total_size=found.message_count,
        )

    @override
    async def GetConversationAnalytics(
        self, request: pb.GetConversationAnalyticsRequest, context: Context
    ) -> pb.GetConversationAnalyticsResponse:
        """Tell what there was each day; see the contract."""
        await self.accounts.synced()
        org_id, today = current_caller().org_id, self.clock().date()
        async with self.database.org(org_id) as connection:
            return await figures.analytics(connection, org_id, today, request.days or _DAYS)

    @override
    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        """Put a message into the outbox; see the contract."""
        account, org_id = await self.accounts.synced(), current_caller().org_id

        async def work(connection: AsyncConnection) -> pb.SendMessageResponse:
            message_id = await conversation_sending.queue(
                connection, org_id, request, account, self.clock()
            )
            row = await message.get(connection, org_id, message_id)
            return pb.SendMessageResponse(message=messages.message(row))

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.SendMessageResponse, work)
        self.on_queued(org_id)
        return response

    @override
    async def CloseConversation(
        self, request: pb.CloseConversationRequest, context: Context
    ) -> pb.CloseConversationResponse:
        """Close a conversation; see the contract."""
        row = await self._changed(request.conversation_id, conversation.close)
        return pb.CloseConversationResponse(conversation=messages.conversation(row))

    @override
    async def MarkConversationRead(
        self, request: pb.MarkConversationReadRequest, context: Context
    ) -> pb.MarkConversationReadResponse:
        """Say that everything received was read; see the contract."""
        row = await self._changed(request.conversation_id, conversation.mark_read)
        return pb.MarkConversationReadResponse(conversation=messages.conversation(row))

    @override
    async def WatchMessages(
        self, request: pb.WatchMessagesRequest, context: Context
    ) -> AsyncIterator[pb.WatchMessagesResponse]:
        """Watch messages; see the contract."""
        await self.accounts.synced()
        told = conversation_watch.stream(self.watch, request, self.clock)
        async with aclosing(told) as responses:
            async for response in responses:
                yield response

    async def _changed(self, conversation_id: str, change: Change) -> sa.Row[Any]:
        await self.accounts.synced()
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            await whatsapp.lock(connection, org_id)
            return await change(connection, org_id, UUID(conversation_id))


def _before(
    request: pb.ListConversationsRequest | pb.GetConversationRequest,
) -> tuple[datetime, UUID] | None:
    if (cursor := cursor_of(request)) is None:
        return None
    try:
        time, last_id = cursor
        return datetime.fromisoformat(time), UUID(last_id)
    except ValueError as error:
        raise InvalidPageTokenError from error
