"""ApplyBatch: what is taken is changed here at once, and then the CRM is waited for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import bulk_record_pb2, contact_sync_pb2
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync_server.errors import (
    DrainingError,
    InvalidRequestError,
    NotSupportedError,
    TooManyItemsError,
    Violation,
)
from crmsync_server.rpc import bulk_records
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.bulk_records import Names, Said
from crmsync_server.rpc.bulk_taking import Wish, persistently, take
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.crms import REMOVALS, Crms, CrmTraits
from crmsync_server.rpc.once import once
from crmsync_server.rpc.session import Watch
from crmsync_server.store import bulk, session
from crmsync_server.store.bulk import Head, Operation, Records, Terms
from crmsync_server.store.bulk_taking import Taking
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.session import Place
from crmsync_server.store.states import SessionKind

_FIELD = "records"
_MOST = 100
# What the answer needs of the caller's time, at most a third of it.
_MARGIN = 0.5

_STATUS = {
    "SYNCED": bulk_record_pb2.BULK_RESULT_STATUS_SYNCED,
    "SKIPPED": bulk_record_pb2.BULK_RESULT_STATUS_SKIPPED,
    "ERROR": bulk_record_pb2.BULK_RESULT_STATUS_FAILED,
    "CANCELLED": bulk_record_pb2.BULK_RESULT_STATUS_CANCELLED,
    "PENDING": bulk_record_pb2.BULK_RESULT_STATUS_PENDING,
}


@dataclass(frozen=True, slots=True)
class Batches:
    """Applies batches.

    watch: where the newest states of sessions come from.
    on_queued: told of (org_id, crm) after a commit that queued something.
    patience: how long the CRM is waited for at most, in seconds.
    """

    database: Database
    crms: Crms
    watch: Watch
    on_queued: Callable[[str, str], None]
    patience: float

    async def apply(self, request: pb.ApplyBatchRequest, context: Context) -> pb.ApplyBatchResponse:
        """Apply a batch; see the contract."""
        heads = _heads(request)
        traits = await self.crms.usable(request.crm)
        if not traits.removes and any(one.operation is Operation.DELETE for one in heads):
            raise NotSupportedError(request.crm, REMOVALS)

        async def work(connection: AsyncConnection) -> pb.ApplyBatchResponse:
            return await once(
                connection,
                request,
                pb.ApplyBatchResponse,
                lambda inner: _taken(inner, request, heads, traits),
            )

        response = await persistently(self.database, work)
        self.on_queued(current_caller().org_id, request.crm)
        await self._wait(UUID(response.session.id), self._time(context))
        return await self._told(response)

    def _time(self, context: Context) -> float:
        # None without a deadline, which the stubs do not tell of.
        left = cast("float | None", context.time_remaining())
        if left is None:
            return self.patience
        return min(self.patience, left - min(_MARGIN, left / 3))

    async def _wait(self, session_id: UUID, seconds: float) -> None:
        """Wait for a session's end, but no longer than that."""
        states = self.watch(current_caller().org_id, session_id, 0, max(seconds, 0))
        try:
            async with asyncio.timeout(seconds), aclosing(states):
                async for _ in states:
                    continue
        except (TimeoutError, DrainingError):
            return

    async def _told(self, before: pb.ApplyBatchResponse) -> pb.ApplyBatchResponse:
        """Return the answer with what has become of its records by now."""
        org_id, session_id = current_caller().org_id, UUID(before.session.id)
        async with self.database.org(org_id) as connection:
            row = await session.get(connection, org_id, session_id)
            items = await session.items(
                connection, org_id, session_id, Place("PUSH"), outcomes=None, size=_MOST
            )
        found = {str(one.contact_id): one for one in items}
        results = [_result(one, found.get(one.contact_id)) for one in before.results]
        count = Counter(one.status for one in results)
        return pb.ApplyBatchResponse(
            session=messages.session(row),
            results=results,
            synced=count[bulk_record_pb2.BULK_RESULT_STATUS_SYNCED],
            skipped=count[bulk_record_pb2.BULK_RESULT_STATUS_SKIPPED],
            failed=count[bulk_record_pb2.BULK_RESULT_STATUS_FAILED],
            pending=count[bulk_record_pb2.BULK_RESULT_STATUS_PENDING],
            cancelled=count[bulk_record_pb2.BULK_RESULT_STATUS_CANCELLED],
        )


def _heads(request: pb.ApplyBatchRequest) -> list[Head]:
    """Return what the records name; raises InvalidRequestError or TooManyItemsError."""
    if (count := len(request.records)) > _MOST:
        raise TooManyItemsError(_FIELD, _MOST, count)
    if not request.records:
        raise InvalidRequestError([Violation(_FIELD, "repeated.min_items", "must not be empty")])
    found: list[Violation] = []
    for index, record in enumerate(request.records):
        bulk_records.tidy(record)
        found += bulk_records.broken(record, f"records[{index}]")
    if found:
        raise InvalidRequestError(found)
    names, heads = Names(), []
    for index, record in enumerate(request.records):
        head = bulk_records.head(index, record)
        if (first := names.first(head)) is not None:
            told = f"names the same contact or email as records[{first}]"
            found.append(Violation(f"records[{index}]", "record.duplicate", told))
        heads.append(head)
    if found:
        raise InvalidRequestError(found)
    return heads


async def _taken(
    connection: AsyncConnection,
    request: pb.ApplyBatchRequest,
    heads: Sequence[Head],
    traits: CrmTraits,
) -> pb.ApplyBatchResponse:
    org_id, session_id = current_caller().org_id, new_id()
    terms = Terms(request.crm, traits.requires_email)
    wish = Wish(terms, SessionKind.APPLY_BATCH, high=True, force=request.force)
    records = Records(heads, lambda index: Said(request.records[index]))
    taking = await take(connection, wish, records, session_id)
    _refuse_duplicates(taking)
    links = await bulk.links(
        connection, org_id, request.crm, [one.contact_id for one in taking.taken.values()]
    )
    row = await session.get(connection, org_id, session_id)
    return pb.ApplyBatchResponse(
        session=messages.session(row),
        results=[_receipt(index, taking, links) for index in range(len(heads))],
    )


def _refuse_duplicates(taking: Taking) -> None:
    """Refuse records that mean one contact by different keys, which only a look can tell."""
    found = [
        Violation(f"records[{one.place}]", "record.duplicate", one.message)
        for one in taking.findings.values()
        if one.code is bulk.Code.DUPLICATE
    ]
    if found:
        raise InvalidRequestError(found)


def _receipt(index: int, taking: Taking, links: Mapping[UUID, str]) -> bulk_record_pb2.BulkResult:
    if taken := taking.taken.get(index):
        return bulk_record_pb2.BulkResult(
            index=index,
            status=bulk_record_pb2.BULK_RESULT_STATUS_PENDING,
            contact_id=str(taken.contact_id),
            crm_contact_id=links.get(taken.contact_id, ""),
        )
    finding = taking.findings[index]
    return bulk_record_pb2.BulkResult(
        index=index,
        status=bulk_record_pb2.BULK_RESULT_STATUS_FAILED,
        contact_id=str(finding.contact_id or ""),
        error=contact_sync_pb2.SyncError(code=finding.code, message=finding.message),
    )


def _result(
    before: bulk_record_pb2.BulkResult, item: sa.Row[Any] | None
) -> bulk_record_pb2.BulkResult:
    """Return a receipt with what its item has come to."""
    if before.status != bulk_record_pb2.BULK_RESULT_STATUS_PENDING or item is None:
        return before
    code = item.error_code or item.skip_reason
    error = None
    if code is not None:
        error = contact_sync_pb2.SyncError(code=code, message=item.error_message or "")
    return bulk_record_pb2.BulkResult(
        index=before.index,
        status=_STATUS[item.outcome],
        contact_id=before.contact_id,
        crm_contact_id=item.crm_contact_id or before.crm_contact_id,
        error=error,
    )
