"""StartMassUpdate and ValidateBatch: many records of a stream, taken together or only judged."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import bulk_record_pb2, contact_sync_pb2
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync_server.errors import BatchRejectedError, InvalidRequestError, Violation
from crmsync_server.rpc import bulk_messages
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.bulk_lookup import Lookup
from crmsync_server.rpc.bulk_stream import Stream, refuse_excess, refuse_nothing
from crmsync_server.rpc.bulk_taking import TRIES, Wish, judge, persistently, take
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.estimate import Estimate
from crmsync_server.rpc.once import once
from crmsync_server.rpc.spool import Spool
from crmsync_server.store import session, stats
from crmsync_server.store.bulk import Finding, Head, Records, Terms
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import SessionKind

Options = TypeVar("Options", pb.StartMassUpdateRequest, pb.ValidateBatchRequest)

_FIRST = ("must be unset but in the first message", "first_message")


@dataclass(frozen=True, slots=True)
class MassUpdates:
    """Takes and judges streams of records.

    on_queued: told of (org_id, crm) after a commit that queued something.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    on_queued: Callable[[str, str], None]

    async def start(
        self, requests: AsyncIterator[pb.StartMassUpdateRequest]
    ) -> pb.StartMassUpdateResponse:
        """Take the records of a stream; see the contract."""
        lookup = Lookup(self.database, current_caller().org_id)
        with Spool() as spool:
            async with lookup:
                whole = await self._read(requests, spool, lookup.want)
                if _is_atomic(whole) and whole.stream.findings:
                    raise _rejected(whole.stream.received, whole.stream.findings)
                owners = [found] if (found := await lookup.owners()) else []
            tries = TRIES + len(owners)
            named = _Named(whole.options.request_id, _fingerprint(whole))

            async def work(connection: AsyncConnection) -> pb.StartMassUpdateResponse:
                # The first time alone, one more than usual: they may be why it is done again.
                records = replace(whole.stream.records, owners=owners.pop() if owners else {})
                return await once(
                    connection,
                    named,
                    pb.StartMassUpdateResponse,
                    lambda inner: self._taken(inner, whole, records),
                )

            response = await persistently(self.database, work, tries)
        self.on_queued(current_caller().org_id, whole.options.crm)
        return response

    async def validate(
        self, requests: AsyncIterator[pb.ValidateBatchRequest]
    ) -> pb.ValidateBatchResponse:
        """Judge the records of a stream; see the contract."""
        with Spool() as spool:
            whole = await self._read(requests, spool, lambda _: None)
            terms = Terms(whole.options.crm, whole.traits.requires_email, writes=False)
            async with self.database.org(current_caller().org_id) as connection:
                taking = await judge(connection, terms, whole.stream.records)
            found = whole.stream.findings | taking.findings
            return pb.ValidateBatchResponse(
                received=whole.stream.received,
                valid=len(taking.taken),
                invalid=len(found),
                findings=bulk_messages.findings(found),
                changes=bulk_messages.changes(taking.taken.values()),
            )

    async def _read(
        self,
        requests: AsyncIterator[Options],
        spool: Spool,
        on_heads: Callable[[Sequence[Head]], None],
    ) -> "_Whole[Options]":
        """Read a stream to its end; on_heads: told what the good records of each message name."""
        whole: _Whole[Options] | None = None
        async for message in requests:
            if whole is None:
                whole = await self._begun(message, spool)
            else:
                _refuse_options(message)
            refuse_excess(len(message.records))
            on_heads(whole.stream.add(message.records))
        if whole is None:
            raise InvalidRequestError([_missing()])
        refuse_nothing(whole.stream.received)
        return whole

    async def _begun(self, message: Options, spool: Spool) -> "_Whole[Options]":
        if not message.crm:
            raise InvalidRequestError([_missing()])
        traits = await self.crms.usable(message.crm)
        options = type(message)()
        options.CopyFrom(message)
        options.ClearField("records")
        return _Whole(options, traits, Stream(spool, traits.removes))

    async def _taken(
        self,
        connection: AsyncConnection,
        whole: "_Whole[pb.StartMassUpdateRequest]",
        records: Records,
    ) -> pb.StartMassUpdateResponse:
        options, stream = whole.options, whole.stream
        wish = Wish(
            Terms(options.crm, whole.traits.requires_email),
            SessionKind.MASS_UPDATE,
            high=options.priority == contact_sync_pb2.PRIORITY_HIGH,
            force=options.force,
        )
        session_id = new_id()
        taking = await take(connection, wish, records, session_id)
        if _is_atomic(whole) and taking.findings:
            raise _rejected(stream.received, taking.findings)
        found = stream.findings | taking.findings
        accepted = len(taking.taken)
        row = await session.get(connection, current_caller().org_id, session_id)
        when = await self._estimated(connection, options.crm, whole.traits) if accepted else None
        return pb.StartMassUpdateResponse(
            session=messages.session(row),
            received=stream.received,
            accepted=accepted,
            rejected=len(found),
            findings=bulk_messages.findings(found),
            changes=bulk_messages.changes(taking.taken.values()),
            estimated_completion_time=timestamp(when),
        )

    async def _estimated(
        self, connection: AsyncConnection, crm: str, traits: CrmTraits
    ) -> datetime | None:
        backlogs = await stats.backlogs(connection, current_caller().org_id, [crm])
        return Estimate(backlogs[crm], traits, self.clock).last()


@dataclass(frozen=True, slots=True)
class _Whole(Generic[Options]):
    """A stream that has ended: the first message without its records, and what came with all."""

    options: Options
    traits: CrmTraits
    stream: Stream


@dataclass(slots=True)
class _Named:
    """A stream as a request that its caller may name."""

    request_id: str
    fingerprint: bytes

    def SerializeToString(self, *, deterministic: bool = True) -> bytes:  # noqa: ARG002, N802 - protobuf's
        """Return what tells the stream from another one."""
        return self.fingerprint


def _fingerprint(whole: _Whole[pb.StartMassUpdateRequest]) -> bytes:
    unnamed = pb.StartMassUpdateRequest()
    unnamed.CopyFrom(whole.options)
    unnamed.request_id = ""
    return whole.stream.fingerprint(unnamed.SerializeToString(deterministic=True))


def _is_atomic(whole: _Whole[pb.StartMassUpdateRequest]) -> bool:
    return whole.options.acceptance != bulk_record_pb2.BULK_ACCEPTANCE_ACCEPT_VALID


def _rejected(received: int, findings: Mapping[int, Finding]) -> BatchRejectedError:
    told = bulk_messages.violations_of(findings)
    return BatchRejectedError(told, received=received, rejected=len(findings))


def _refuse_options(message: Message) -> None:
    told, rule = _FIRST
    strays = [field.name for field, _ in message.ListFields() if field.name != "records"]
    if strays:
        raise InvalidRequestError([Violation(name, rule, told) for name in strays])


def _missing() -> Violation:
    return Violation("crm", "string.min_len", "must not be empty in the first message")
