"""UserService: takes in users from the system that provisions them, and shows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import user_service_pb2 as pb
from crmsync.v1 import user_service_pb2_grpc
from crmsync_server.errors import (
    InvalidPageTokenError,
    InvalidRequestError,
    TooManyItemsError,
    Violation,
)
from crmsync_server.rpc import user_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.store import user
from crmsync_server.store.contact import is_deadlock
from crmsync_server.store.db import Database
from crmsync_server.store.user_sync import Outcome, Terms, synchronize

Answer = TypeVar("Answer", pb.SyncUsersResponse, pb.SyncUserStreamResponse)

_FIELD = "users"
_MOST_IN_CALL = 10_000
_MOST_IN_MESSAGE = 1_000
_MOST_IN_STREAM = 200_000
# Somebody else took in the same users meanwhile.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class UserService(user_service_pb2_grpc.UserServiceServicer):
    """Keeps the users of organizations as they are provisioned.

    max_deactivation_share: what holds where a call says nothing.
    """

    database: Database
    max_deactivation_share: float = 0.2

    @override
    async def SyncUsers(
        self, request: pb.SyncUsersRequest, context: Context
    ) -> pb.SyncUsersResponse:
        """Take in users; see the contract."""
        if (count := len(request.users)) > _MOST_IN_CALL:
            raise TooManyItemsError(_FIELD, _MOST_IN_CALL, count)
        given = messages.Given()
        given.add(request.users, current_caller().org_id)
        _refuse_nobody(request.options, given)

        async def work(connection: AsyncConnection) -> pb.SyncUsersResponse:
            outcome = await self._synchronized(connection, request.options, given)
            return pb.SyncUsersResponse(
                summary=messages.summary(given, outcome),
                results=messages.results(given, outcome),
                deactivated=messages.deactivated(outcome),
                mode=request.options.mode,
                dry_run=request.options.dry_run,
                sync_time=_now(),
            )

        return await self._patiently(
            lambda connection: once(connection, request, pb.SyncUsersResponse, work),
            dry_run=request.options.dry_run,
        )

    @override
    async def SyncUserStream(
        self, request_iterator: AsyncIterator[pb.SyncUserStreamRequest], context: Context
    ) -> pb.SyncUserStreamResponse:
        """Take in a stream of users; see the contract."""
        options, given = await _read(request_iterator)
        _refuse_nobody(options, given)

        async def work(connection: AsyncConnection) -> pb.SyncUserStreamResponse:
            outcome = await self._synchronized(connection, options, given)
            return pb.SyncUserStreamResponse(
                summary=messages.summary(given, outcome),
                results=messages.fitting_results(given, outcome),
                deactivated=messages.deactivated(outcome),
                mode=options.mode,
                dry_run=options.dry_run,
                sync_time=_now(),
            )

        return await self._patiently(work, dry_run=options.dry_run)

    @override
    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Return a user; see the contract."""
        org_id, chosen = current_caller().org_id, request.WhichOneof("key")
        key = user.Key(
            id=UUID(request.id) if chosen == "id" else None,
            external_id=request.external_id if chosen == "external_id" else None,
            email=request.email.strip() if chosen == "email" else None,
        )
        async with self.database.org(org_id) as connection:
            row = await user.get(connection, org_id, key)
        return pb.GetUserResponse(user=messages.message_of(row))

    @override
    async def ListUsers(
        self, request: pb.ListUsersRequest, context: Context
    ) -> pb.ListUsersResponse:
        """List users, newest first; see the contract."""
        org_id, size = current_caller().org_id, page_size(request.page_size)
        async with self.database.org(org_id) as connection:
            rows = await user.list(
                connection,
                org_id,
                size=size + 1,
                before_id=_before_id(request),
                is_active=request.is_active if request.HasField("is_active") else None,
                role=request.role or None,
            )
        told = fitting(messages.message_of(row) for row in rows[:size])
        more = len(rows) > len(told)
        token = page_token(request, [told[-1].id]) if more else ""
        return pb.ListUsersResponse(users=told, next_page_token=token)

    async def _synchronized(
        self, connection: AsyncConnection, options: pb.UserSyncOptions, given: messages.Given
    ) -> Outcome:
        said = options.HasField("max_deactivation_share")
        terms = Terms(
            reconcile=options.mode == pb.USER_SYNC_MODE_FULL_RECONCILE,
            max_share=options.max_deactivation_share if said else self.max_deactivation_share,
        )
        org_id = current_caller().org_id
        return await synchronize(connection, org_id, given.entries, given.mentions, terms)

    async def _patiently(
        self, work: Callable[[AsyncConnection], Awaitable[Answer]], *, dry_run: bool
    ) -> Answer:
        """Do the work in a transaction of its own, again if somebody else came in between.

        dry_run: whether everything is undone.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self.database.org(current_caller().org_id) as connection:
                    await connection.execute(sa.text("SAVEPOINT synchronization"))
                    answer = await work(connection)
                    if dry_run:
                        await connection.execute(sa.text("ROLLBACK TO SAVEPOINT synchronization"))
                    return answer
            except DBAPIError as error:
                if not (tries_left and _is_passing(error)):
                    raise
        message = "the last try has returned or raised"
        raise AssertionError(message)


async def _read(
    stream: AsyncIterator[pb.SyncUserStreamRequest],
) -> tuple[pb.UserSyncOptions, messages.Given]:
    """Read a whole stream; raises for what is wrong with it as soon as that comes."""
    org_id, given = current_caller().org_id, messages.Given()
    options: pb.UserSyncOptions | None = None
    async for message in stream:
        if options is None:
            options = _options(message)
        elif message.HasField("options"):
            told = "must be set in the first message alone"
            raise InvalidRequestError([Violation("options", "options.first", told)])
        if (count := len(message.users)) > _MOST_IN_MESSAGE:
            raise TooManyItemsError(_FIELD, _MOST_IN_MESSAGE, count)
        if (count := len(given.said) + count) > _MOST_IN_STREAM:
            raise TooManyItemsError(_FIELD, _MOST_IN_STREAM, count)
        # In a thread: so many users would keep everybody else waiting.
        await asyncio.to_thread(given.add, message.users, org_id)
    if options is None:
        raise InvalidRequestError([_without_options()])
    return options, given


def _options(message: pb.SyncUserStreamRequest) -> pb.UserSyncOptions:
    if not message.HasField("options"):
        raise InvalidRequestError([_without_options()])
    return message.options


def _without_options() -> Violation:
    return Violation("options", "required", "must be set in the first message")


def _refuse_nobody(options: pb.UserSyncOptions, given: messages.Given) -> None:
    if not given.said:
        told = "must hold at least one user"
        if options.mode == pb.USER_SYNC_MODE_FULL_RECONCILE:
            told += ": an empty list would deactivate everybody"
        raise InvalidRequestError([Violation("users", "repeated.min_items", told)])


def _is_passing(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or is_deadlock(error)


def _before_id(request: pb.ListUsersRequest) -> UUID | None:
    cursor = cursor_of(request)
    try:
        return UUID(cursor[0]) if cursor else None
    except ValueError as error:
        raise InvalidPageTokenError from error


def _now() -> Timestamp:
    told = Timestamp()
    told.FromDatetime(datetime.now(UTC))
    return told
