"""What SyncService does with what failed, and with what is no longer wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import sync_service_pb2 as pb
from crmsync_server.errors import (
    ContactNotFoundError,
    EmailRequiredError,
    InvalidPageTokenError,
    NotInErrorError,
    NotQueuedError,
)
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.estimate import Estimate
from crmsync_server.rpc.once import once
from crmsync_server.rpc.paging import cursor_of, fitting, page_size, page_token
from crmsync_server.store import config, failure, queue, session, standing, stats
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import SessionKind

_LONGEST_SERIES = 31  # retries whose waits differ; the last one's is that of any later one


@dataclass(frozen=True, slots=True)
class Retries:
    """How failures are tried again.

    max_retries: how often, where a CRM's configuration does not say.
    wait: how long to wait after so many retries.
    """

    max_retries: int
    wait: Callable[[int], timedelta]

    def waits(self, *, reset: bool) -> Sequence[timedelta] | None:
        """Return the waits by the count of retries so far; None where the count starts again."""
        return None if reset else [self.wait(count) for count in range(_LONGEST_SERIES)]


@dataclass(frozen=True, slots=True)
class SyncFailures:
    """Reads failures, queues them again, and takes contacts out of the queue.

    on_queued: told of (org_id, crm) after each commit that queued something.
    on_moved: told of (org_id, *session_ids) after each commit that moved sessions.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    retries: Retries
    on_queued: Callable[[str, str], None]
    on_moved: Callable[..., None]

    async def list(self, request: pb.ListSyncFailuresRequest) -> pb.ListSyncFailuresResponse:
        """List failures, newest first; see the contract."""
        org_id, crm = current_caller().org_id, request.crm
        self.crms.find(crm)
        size, after = page_size(request.page_size), _place(request)
        async with self.database.org(org_id) as connection:
            limit = await self._max_retries(connection, org_id, crm)
            condition = failure.condition(request.filter, limit)
            total = await failure.count(connection, org_id, crm, condition)
            rows = await failure.list(
                connection, org_id, crm, condition, size=size + 1, after=after
            )
        page = fitting(_told(row, limit) for row in rows[:size])
        last = rows[len(page) - 1] if len(page) < len(rows) else None
        return pb.ListSyncFailuresResponse(
            failures=page,
            next_page_token="" if last is None else page_token(request, _cursor(last)),
            total_size=total,
            crm=crm,
        )

    async def retry(self, request: pb.RetryContactRequest) -> pb.RetryContactResponse:
        """Queue one failure again; see the contract."""
        caller, traits = current_caller(), await self.crms.usable(request.crm)
        contact_id = UUID(request.contact_id)

        async def work(connection: AsyncConnection) -> pb.RetryContactResponse:
            known = await queue.refusals(connection, caller.org_id, [contact_id])
            if contact_id not in known:
                raise ContactNotFoundError(request.contact_id)
            asked = failure.Retry(
                contact_id=contact_id,
                requires_email=traits.requires_email,
                waits=self.retries.waits(reset=request.reset_retry_count),
            )
            order = _order(request.crm, SessionKind.RETRY_CONTACT)
            if not await failure.retry(connection, caller.org_id, asked, order):
                await _refuse_retry(connection, caller.org_id, contact_id, request.crm)
            row = await standing.get(connection, caller.org_id, contact_id, request.crm)
            opened = await session.get(connection, caller.org_id, order.session_id)
            when = await self._expected(connection, caller.org_id, row, traits)
            return pb.RetryContactResponse(
                contact_sync=messages.contact_sync(row, when),
                session=messages.session(opened),
                message="Retry scheduled",
            )

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.RetryContactResponse, work)
        self.on_queued(caller.org_id, request.crm)
        return response

    async def retry_all(self, request: pb.RetryAllFailuresRequest) -> pb.RetryAllFailuresResponse:
        """Queue every failure of a CRM again, in one statement; see the contract."""
        caller, traits = current_caller(), await self.crms.usable(request.crm)
        reset = request.reset_retry_count

        async def work(connection: AsyncConnection) -> pb.RetryAllFailuresResponse:
            limit = await self._max_retries(connection, caller.org_id, request.crm)
            asked = failure.Retry(
                requires_email=traits.requires_email,
                condition=failure.condition(request.filter, limit),
                waits=self.retries.waits(reset=reset),
            )
            order = _order(request.crm, SessionKind.RETRY_ALL_FAILURES)
            count = await failure.retry(connection, caller.org_id, asked, order)
            opened = await session.get(connection, caller.org_id, order.session_id)
            done = "reset and queued" if reset else "queued"
            return pb.RetryAllFailuresResponse(
                session=messages.session(opened),
                retried_count=count,
                crm=request.crm,
                message=f"All failures {done} for retry",
            )

        async with self.database.org(caller.org_id) as connection:
            response = await once(connection, request, pb.RetryAllFailuresResponse, work)
        self.on_queued(caller.org_id, request.crm)
        return response

    async def cancel(self, request: pb.CancelContactRequest) -> pb.CancelContactResponse:
        """Take one contact out of a CRM's queue; see the contract."""
        org_id, crm, contact_id = current_caller().org_id, request.crm, UUID(request.contact_id)
        self.crms.find(crm)
        async with self.database.org(org_id) as connection:
            if not await queue.refusals(connection, org_id, [contact_id]):
                raise ContactNotFoundError(request.contact_id)
            moved = await standing.cancel(connection, org_id, contact_id, crm)
            if moved is None:
                found = await standing.find(connection, org_id, contact_id, crm)
                raise NotQueuedError(request.contact_id, crm, found and found.sync_status)
            row = await standing.get(connection, org_id, contact_id, crm)
        self.on_moved(org_id, *moved)
        return pb.CancelContactResponse(contact_sync=messages.contact_sync(row))

    async def _max_retries(self, connection: AsyncConnection, org_id: str, crm: str) -> int:
        (row,) = await config.list(connection, org_id, [crm])
        return self.retries.max_retries if row.max_retries is None else int(row.max_retries)

    async def _expected(
        self, connection: AsyncConnection, org_id: str, row: sa.Row[Any], traits: CrmTraits
    ) -> datetime | None:
        backlogs = await stats.backlogs(connection, org_id, [row.crm])
        return Estimate(backlogs[row.crm], traits, self.clock).due(row.next_retry_time)


async def _refuse_retry(
    connection: AsyncConnection, org_id: str, contact_id: UUID, crm: str
) -> NoReturn:
    row = await standing.find(connection, org_id, contact_id, crm)
    if row is not None and failure.has_failed(row):
        raise EmailRequiredError(str(contact_id), crm)
    raise NotInErrorError(str(contact_id), crm, row and row.sync_status)


def _order(crm: str, kind: SessionKind) -> queue.Order:
    return queue.Order(crm, new_id(), kind, current_caller().subject)


def _told(row: sa.Row[Any], max_retries: int) -> pb.SyncFailure:
    told = messages.contact_sync(row)
    return pb.SyncFailure(
        contact_id=told.contact_id,
        email=row.email or "",
        error=told.error,
        retry_count=told.retry_count,
        last_retry_time=told.last_retry_time if told.HasField("last_retry_time") else None,
        error_time=told.update_time,
        can_retry=row.retry_count < max_retries,
        sync_status=told.sync_status,
    )


def _cursor(row: sa.Row[Any]) -> Sequence[str]:
    return [row.update_time.isoformat(), str(row.contact_id)]


def _place(request: pb.ListSyncFailuresRequest) -> failure.Place | None:
    cursor = cursor_of(request)
    if cursor is None:
        return None
    try:
        error_time, contact_id = cursor
        moment = datetime.fromisoformat(error_time).astimezone(UTC)
        return failure.Place(moment, UUID(contact_id))
    except (ValueError, OverflowError) as error:
        raise InvalidPageTokenError from error
