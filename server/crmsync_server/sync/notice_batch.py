"""A batch of claimed notices: read, taken in and marked as done, or put off until later.

Reading happens outside of any transaction. What was read is taken in by the same transaction that
marks the notices as done, and only where they are still held: after a crash, or when somebody else
has claimed them meanwhile, all of it is done once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.source import Source
from crmsync_server.store import config, queue, statistics
from crmsync_server.store import notice as store
from crmsync_server.store.ids import new_id
from crmsync_server.store.lost import lost
from crmsync_server.store.notice import Hold, Later
from crmsync_server.store.states import Direction, SessionKind
from crmsync_server.sync.absorb import Terms, absorb, sweep
from crmsync_server.sync.circuit import MISCONFIGURED, REFUSED
from crmsync_server.sync.notice_faults import (
    INTERNAL,
    Fault,
    exhausted,
    fault_of,
    is_over,
    later_of,
)
from crmsync_server.sync.notice_reading import NOT_FOUND, Findings, Subject, look, subjects
from crmsync_server.sync.redaction import where
from crmsync_server.sync.run import Desk, FailedError, Reader, TroubledError

_log = structlog.get_logger()

_CREATOR = "webhook"
_CHUNK = 500  # records that are read and taken in together, at most
_NAMED = 5


Place: TypeAlias = tuple[str, str]
"""An organization and a CRM."""


class _LostError(Exception):
    """Somebody else has claimed the notices meanwhile."""


class Batch:
    """Claimed notices of one organization and CRM."""

    def __init__(
        self, desk: Desk, hold: Hold, notices: Sequence[sa.Row[Any]], two_ways: set[Place]
    ) -> None:
        """Take them.

        notices: as store.notice.claim returns them. two_ways: where it is known to all servers that
        the CRM is read as well; it is added to.
        """
        self._desk = desk
        self._hold = hold
        self._two_ways = two_ways
        self._left = {one.key: one for one in notices}
        self._changing = asyncio.Lock()
        self._log = _log.bind(org_id=hold.org_id, crm=hold.crm)

    async def see_to(self) -> None:
        """Read and take in what they are about; what cannot be now is put off."""
        try:
            reader = await self._desk.readers(self._hold.org_id, self._hold.crm)
        except FailedError as why:
            await self._put_off_all(Fault(why.code, why.message))
        except ValueError as why:
            await self._put_off_all(Fault(MISCONFIGURED, str(why)))
        else:
            if reader.source is None:
                fault = Fault("NOT_SUPPORTED", f"{self._hold.crm} cannot be read", retries=0)
                await self._put_off_all(fault)
                return
            await self._go_two_ways()
            await self._read(reader, reader.source)

    async def renew(self) -> None:
        """Prolong the lease of those that are left."""
        async with self._changing:
            hold = self._hold
            async with self._desk.database.org(hold.org_id) as connection:
                until = await store.renew(
                    connection, hold, list(self._left), lease=self._desk.lease
                )
            if until is not None:
                self._hold = replace(hold, until=until)

    async def release(self) -> None:
        """Give back those that are left, for another replica to go on with."""
        await self._let_go([Later(key, timedelta(0)) for key in self._left], {})

    async def _go_two_ways(self) -> None:
        """Have deliveries write down what they agree on, and link what was delivered before."""
        hold = self._hold
        place = (hold.org_id, hold.crm)
        if place in self._two_ways:
            return
        async with self._desk.database.org(hold.org_id) as connection:
            is_new = await config.go_two_ways(connection, hold.org_id, hold.crm)
            if is_new:
                await config.links(connection, hold.org_id, hold.crm)
        if not is_new:
            self._two_ways.add(place)

    async def _read(self, reader: Reader, source: Source) -> None:
        every = subjects(self._left.values())
        size = max(1, min(source.traits.fetch_batch, _CHUNK))
        retries = self._desk.policy.max_retries
        for start in range(0, len(every), size):
            try:
                if not await self._see_to_portion(reader, source, every[start : start + size]):
                    await self._put_off_all(Fault(INTERNAL, "", retries=retries))
                    return
            except _LostError:
                self._log.warning("notices were taken over by another server")
                return
            except TroubledError as troubled:
                await self._put_off_all(fault_of(troubled.trouble, retries))
                return
            except QuotaExhaustedError as used_up:
                await self._put_off_all(exhausted(used_up))
                return
            except CredentialsRefusedError as refused:
                await self._refused(str(refused))
                return

    async def _see_to_portion(
        self, reader: Reader, source: Source, portion: Sequence[Subject]
    ) -> bool:
        """See to a portion; one that fails here is halved until the culprit is alone.

        False when nothing of it could be seen to: then no record is to blame.
        """
        try:
            findings = await look(source, reader.names, portion, self._linked)
            await self._take_in(reader, findings)
        except (TroubledError, QuotaExhaustedError, CredentialsRefusedError, _LostError):
            raise
        except Exception as error:
            if lost(error) is not None:
                raise
            if len(portion) == 1:
                await self._blame(portion[0], error)
                return False
            middle = len(portion) // 2
            first = await self._see_to_portion(reader, source, portion[:middle])
            return await self._see_to_portion(reader, source, portion[middle:]) or first
        return True

    async def _blame(self, subject: Subject, error: Exception) -> None:
        self._log.error(
            "a record that a webhook told of was not taken in",
            crm_contact_id=subject.crm_contact_id,
            where=where(error),
        )
        fault = Fault(INTERNAL, type(error).__name__, retries=self._desk.policy.max_retries)
        await self._put_off(subject.notices, fault)

    async def _linked(self, emails: Sequence[str]) -> Mapping[str, str]:
        hold = self._hold
        async with self._desk.database.org(hold.org_id) as connection:
            return await store.linked(connection, hold.org_id, hold.crm, emails)

    async def _take_in(self, reader: Reader, findings: Findings) -> None:
        """Take in what was read and mark its notices as done, both or neither."""
        not_found = Fault(NOT_FOUND, "the record was not found")
        missing = [later_of(one, not_found, self._desk) for one in findings.missing]
        done = [*findings.outcomes, *(one.key for one in missing)]
        async with self._changing:
            hold = self._hold
            async with self._desk.database.org(hold.org_id) as connection:
                held = await store.finish(connection, hold, findings.outcomes)
                if len(held) < len(findings.outcomes):
                    raise _LostError
                if missing:
                    await store.put_off(connection, hold, missing)
                session_id = await self._absorb(connection, reader, findings)
            self._forget(done)
        if session_id is not None:
            self._desk.hints.sessions(hold.org_id, session_id)
            self._desk.hints.queued(hold.org_id, hold.crm)

    async def _absorb(
        self, connection: AsyncConnection, reader: Reader, findings: Findings
    ) -> UUID | None:
        """Take in records; return the session that delivers what of ours the CRM lacks, if any."""
        mapping = reader.config.mapping
        terms = Terms(
            org_id=self._hold.org_id,
            crm=self._hold.crm,
            direction=Direction.BOTH,
            mapping=mapping,
            merging=reader.config.merging,
            salt=mapping.salt if mapping else b"",
            session_id=None,
        )
        absorbed = await absorb(connection, terms, findings.records)
        await sweep(connection, terms, findings.gone)
        if read := len(findings.records) + len(findings.gone):
            await statistics.note_read(connection, terms.org_id, terms.crm, read)
        return await self._queue(connection, reader, absorbed.to_push)

    async def _queue(
        self, connection: AsyncConnection, reader: Reader, contact_ids: Sequence[UUID]
    ) -> UUID | None:
        """Queue those that are delivered to this CRM anyway; what was only read stays so."""
        hold = self._hold
        if contact_ids:
            contact_ids = await store.delivered(connection, hold.org_id, hold.crm, contact_ids)
        if not contact_ids:
            return None
        session_id = new_id()
        order = queue.Order(hold.crm, session_id, SessionKind.BULK_QUEUE_CONTACTS, _CREATOR)
        selection = queue.Selection(sorted(contact_ids), reader.requires_email)
        await queue.enqueue(connection, hold.org_id, selection, order)
        return session_id

    async def _refused(self, message: str) -> None:
        """Put off until the credentials are good, and stop the deliveries as well."""
        hold = self._hold
        if all(one.outcome != REFUSED for one in self._left.values()):
            await self._desk.on_refused(hold.org_id, hold.crm, message)
        await self._put_off_all(Fault(REFUSED, message))

    async def _put_off_all(self, fault: Fault) -> None:
        await self._put_off(list(self._left.values()), fault)

    async def _put_off(self, notices: Sequence[sa.Row[Any]], fault: Fault) -> None:
        """Put notices off; those that have waited, or were tried, for too long are given up."""
        over = {one.key: fault.code for one in notices if is_over(one, fault)}
        later = [later_of(one, fault, self._desk) for one in notices if one.key not in over]
        await self._let_go(later, over)
        told = {"code": fault.code, "why": fault.message}
        if later:
            self._log.warning("webhooks' records are not read yet", count=len(later), **told)
        if over:
            keys = [*over][:_NAMED]
            self._log.error("webhooks' records are given up", count=len(over), keys=keys, **told)

    async def _let_go(self, later: Sequence[Later], over: Mapping[str, str]) -> None:
        async with self._changing:
            hold = self._hold
            async with self._desk.database.org(hold.org_id) as connection:
                if later:
                    await store.put_off(connection, hold, later)
                if over:
                    await store.finish(connection, hold, over)
            self._forget([*(one.key for one in later), *over])

    def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._left.pop(key, None)
