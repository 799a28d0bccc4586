"""A lane: the deliveries of one organization at one CRM, one batch after the other.

Claim, push, judge, finish. Whatever happens between claim and finish, the batch ends in a record:
what could not be judged is given back, and what even that cannot reach is rescued by its lease.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import stamina
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Postponed,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from crmsync_server.store import base as bases
from crmsync_server.store import bulk, queue
from crmsync_server.store import lane as lanes
from crmsync_server.store import ticket as tickets
from crmsync_server.store.base import Delivered, Unanswered
from crmsync_server.store.claimed import Claimed
from crmsync_server.store.content import email_key
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.store.response_times import Answered
from crmsync_server.store.states import SyncStatus
from crmsync_server.sync.calls import Calls, Times
from crmsync_server.sync.circuit import REFUSED, Circuit, Health, Place
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.pace import Pace
from crmsync_server.sync.push import Batch, Deliverer, Judged, push
from crmsync_server.sync.recorder import Recorder
from crmsync_server.sync.renewal import renewing
from crmsync_server.sync.sparing import Sparing
from crmsync_server.sync.storable import storable
from crmsync_server.sync.verdict import LEAST_WAIT, RetryPolicy, judge, release

_log = structlog.get_logger()

_FINISH_BATCH = 1000
_UNCHANGED = Skipped(SkipReason.UNCHANGED)
_HELD_LEASE = timedelta(hours=6)
_PATIENCE = timedelta(minutes=5)
_PROBE_MARGIN = timedelta(seconds=15)


async def unrecorded(_: AsyncConnection, _org_id: str, _crm: str, _found: Standing) -> None:
    """Keep no health: where accounts come from the settings there is nothing to write it to."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every lane works with.

    owner: names this process in leases, so that a log line finds it.
    lease: how long a claim holds without a sign of life; it is renewed while work goes on.
    health: writes down how a connection was found.
    """

    database: Database
    hints: Hints
    policy: RetryPolicy
    clock: Callable[[], datetime]
    owner: str
    lease: timedelta
    health: Health = unrecorded

    @property
    def renewal(self) -> float:
        """Return the seconds between two renewals of a lease."""
        return self.lease.total_seconds() / 3


class Lane:
    """Delivers what one organization has queued for one CRM.

    deliverer: how; it may be exchanged at any time, for what is claimed from then on.
    """

    def __init__(self, org_id: str, crm: str, deliverer: Deliverer, bench: Bench) -> None:
        """Deliver through deliverer; no task is started here."""
        self.org_id = org_id
        self.crm = crm
        self.deliverer = deliverer
        self._bench = bench
        self._pace = Pace()
        self._recorder = Recorder(self._write)
        # What deliveries have told, or may have, until they are written down.
        self._delivered: dict[tuple[UUID, int], Delivered | Unanswered] = {}
        # What calls took that have ended no attempt, until the next one that has.
        self._times: Times = []
        self._log = _log.bind(org_id=org_id, crm=crm)
        self._calls = Calls(bench.clock, self._log)
        self._circuit = Circuit(Place(bench.database, org_id, crm, bench.health), self._log)

    async def deliver(self) -> int:
        """Claim one batch and bring it to its end; return how many were claimed."""
        batch = await self.claim()
        if batch is None:
            return 0
        await self.end(batch)
        return len(batch.rows)

    async def claim(self, *, urgent_only: bool = False) -> Batch | None:
        """Claim one batch, None when nothing is due; whoever claims brings it to its end.

        urgent_only: nothing of priority NORMAL.
        """
        chosen, bench = self.deliverer, self._bench
        salt = chosen.config.mapping.salt if chosen.config.mapping else b""
        terms = queue.Terms(chosen.batch_size, bench.lease, bench.owner, salt, urgent_only)
        async with bench.database.org(self.org_id) as connection:
            rows = await queue.claim(connection, self.org_id, self.crm, terms)
            if any(row.removing and row.deleted for row in rows):
                rows = await self._disowned(connection, rows)
            sparing = await self._sparing(connection, rows, chosen)
        if not rows and not urgent_only:
            self._pace.rest()
        return Batch(rows, chosen, sparing) if rows else None

    async def end(self, batch: Batch) -> None:
        """Bring a claimed batch to its end, whatever that is."""
        # Renewed until it is written down: nobody else must take what is already answered.
        async with renewing(lambda: self._renew(batch.rows), self._bench.renewal):
            for part in batch.parts():
                await self._end_part(part)

    async def _end_part(self, batch: Batch) -> None:
        try:
            judged = await push(self._calls, batch)
        except CredentialsRefusedError as error:
            await self._give_back(batch, str(error))
        else:
            await self._record(batch, judged)
            await self._note([out for _, out in judged if not isinstance(out, Skipped)])

    async def probe(self) -> bool:
        """Find out whether the CRM works again, if nobody else does; return whether it does."""
        adapter = self.deliverer.adapter
        lease = adapter.capabilities.push_timeout + _PROBE_MARGIN
        return await self._circuit.probe(lambda: self._calls.check(adapter), lease)

    async def settle(self) -> int:
        """Ask what became of one ticket that is due; return how many records hang on it."""
        lease = self._bench.lease
        async with self._bench.database.org(self.org_id) as connection:
            ticket = await tickets.claim(connection, self.org_id, self.crm, lease=lease)
            if ticket is None:
                return 0
            rows = await tickets.held(connection, self.org_id, self.crm, ticket)
            by = self.deliverer
            sparing = await self._sparing(connection, rows, by, late=True)
        if rows:
            async with renewing(lambda: self._renew_ticket(ticket), self._bench.renewal):
                await self._settle(ticket, Batch(rows, by, sparing))
        async with self._bench.database.org(self.org_id) as connection:
            await tickets.drop(connection, self.org_id, self.crm, ticket)
        return max(1, len(rows))

    @property
    def calls_under_way(self) -> int:
        """Return how many calls wait for the CRM."""
        return self._calls.under_way

    def give_up(self) -> None:
        """Wait for the CRM no longer; what is under way ends as unknown, and is written down."""
        self._calls.give_up()

    async def _settle(self, ticket: str, batch: Batch) -> None:
        given = [batch.given(row) for row in batch.rows]
        outcomes = await self._calls.settle(batch.by.adapter, ticket, given, batch.times)
        # Without an answer the ticket is asked about again when its own lease is over.
        if outcomes is not None:
            await self._record(batch, list(zip(batch.rows, outcomes, strict=True)))

    async def _sparing(
        self,
        connection: AsyncConnection,
        rows: Sequence[Claimed],
        by: Deliverer,
        *,
        late: bool = False,
    ) -> Sparing | None:
        """Read what is known of the records of claimed contacts, where the CRM is read as well."""
        if not (rows and by.config.two_way):
            return None
        ids = [row.contact_id for row in rows]
        held = await bases.read(connection, self.org_id, self.crm, ids)
        keeps_email = by.adapter.capabilities.keeps_email
        return Sparing(by.config, held, late=late, keeps_email=keeps_email)

    async def _disowned(
        self, connection: AsyncConnection, rows: Sequence[Claimed]
    ) -> Sequence[Claimed]:
        """Return rows without the emails of deleted contacts that another contact has by now.

        By such an email somebody else's record would be removed.
        """
        gone = [row for row in rows if row.removing and row.deleted]
        keys = {row.contact_id: email_key(row.email) for row in gone}
        wanted = [key for key in keys.values() if key]
        owners = await bulk.owners(connection, self.org_id, wanted) if wanted else {}
        return [
            row._replace(email=None) if keys.get(row.contact_id) in owners else row for row in rows
        ]

    async def _note(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        try:
            await self._circuit.note(outcomes)
        except FAULTS:
            self._log.exception("the lane's circuit could not be written down")

    async def _record(self, batch: Batch, judged: Judged) -> None:
        """Write down a batch: what is accepted is held, what is final or due again is finished."""
        by = batch.by
        await self._hold([(row, out) for row, out in judged if isinstance(out, Accepted)])
        now = self._bench.clock()
        idempotent = by.adapter.capabilities.idempotent
        policy = self._bench.policy.drawn(by.config.max_retries)
        finished = [
            judge(row, outcome, policy, now, idempotent=idempotent)
            for row, outcome in judged
            if not isinstance(outcome, Accepted)
        ]
        # The pause first: another worker must not claim what is about to be queued again.
        await self._pause([out for _, out in judged if isinstance(out, Postponed) and out.lane])
        told = list(_told(batch, judged))
        self._delivered.update({_attempt(one): one for one in told})
        try:
            await self._finish(finished, self._taken(batch))
        finally:
            for one in told:
                self._delivered.pop(_attempt(one), None)

    def _taken(self, batch: Batch) -> Times:
        """Return what the calls of a batch took, which is then written down elsewhere."""
        times = batch.times.copy()
        batch.times.clear()
        return times

    async def _finish(self, finished: Sequence[queue.Finished], times: Times) -> None:
        if not finished:
            self._times += times
            return
        times, self._times = self._times + times, []
        *others, last = range(0, len(finished), _FINISH_BATCH)
        for start in others:
            await self._recorder.record(finished[start : start + _FINISH_BATCH])
        await self._recorder.record(finished[last:], times)

    async def _write(self, finished: Sequence[queue.Finished], times: Sequence[Answered]) -> None:
        await _patiently(lambda: self._write_once(finished, times))

    async def _write_once(
        self, finished: Sequence[queue.Finished], times: Sequence[Answered]
    ) -> None:
        async with self._bench.database.org(self.org_id, by_index=True) as connection:
            receipt = await queue.finish(connection, self.org_id, self.crm, finished, times)
            # Nothing of it is looked for where the CRM is not read: this runs for every record.
            told = map(self._delivered.get, map(_attempt, finished)) if self._delivered else ()
            noted = [one for one in told if one is not None]
            if delivered := [one for one in noted if isinstance(one, Delivered)]:
                await bases.delivered(connection, self.org_id, self.crm, delivered)
            if unanswered := [one for one in noted if isinstance(one, Unanswered)]:
                await bases.unanswered(connection, self.org_id, self.crm, unanswered)
            if removed := [_attempt(one) for one in finished if one.status == SyncStatus.SELECTED]:
                await bases.removed(connection, self.org_id, self.crm, removed)
            if rate := self._pace.measured(receipt.finished):
                await lanes.measure(connection, self.org_id, self.crm, rate)
        self._bench.hints.moved(self.org_id, receipt)

    async def _renew(self, rows: Sequence[Claimed]) -> None:
        under_way = [(row.contact_id, row.attempt) for row in rows]
        async with self._bench.database.org(self.org_id) as connection:
            await queue.renew(connection, self.org_id, self.crm, under_way, self._bench.lease)

    async def _renew_ticket(self, ticket: str) -> None:
        async with self._bench.database.org(self.org_id) as connection:
            await tickets.renew(connection, self.org_id, self.crm, ticket, self._bench.lease)

    async def _hold(self, accepted: Sequence[tuple[Claimed, Accepted]]) -> None:
        tickets: dict[Accepted, list[Claimed]] = {}
        for row, outcome in accepted:
            tickets.setdefault(outcome, []).append(row)
        for outcome, rows in tickets.items():
            await _patiently(partial(self._hold_once, outcome, rows))

    async def _hold_once(self, outcome: Accepted, rows: Sequence[Claimed]) -> None:
        held = [(row.contact_id, row.attempt) for row in rows]
        check_time = max(outcome.check_time, self._bench.clock() + LEAST_WAIT)
        ticket = tickets.Ticket(outcome.ticket, check_time, _HELD_LEASE)
        async with self._bench.database.org(self.org_id) as connection:
            await tickets.hold(connection, self.org_id, self.crm, held, ticket)

    async def _give_back(self, batch: Batch, message: str) -> None:
        # What an exchanged adapter is told says nothing of the credentials that took their place.
        if batch.by.adapter is self.deliverer.adapter:
            # The lane first: another worker must not claim what is about to be queued again.
            await _patiently(lambda: self._circuit.open(REFUSED, message))
        due = self._bench.clock() + LEAST_WAIT
        released = [release(row, due, REFUSED, message) for row in batch.rows]
        await self._finish(released, self._taken(batch))

    async def _pause(self, postponed: Sequence[Postponed]) -> None:
        if not postponed:
            return
        longest = max(postponed, key=lambda outcome: outcome.until)
        try:
            await _patiently(lambda: self._pause_once(longest))
        except FAULTS:
            # The outcomes that are to be written next matter more.
            self._log.exception("the lane could not be paused")

    async def _pause_once(self, why: Postponed) -> None:
        until = max(why.until, self._bench.clock() + LEAST_WAIT)
        async with self._bench.database.org(self.org_id) as connection:
            await lanes.pause(
                connection,
                self.org_id,
                self.crm,
                until=until,
                code=storable(why.code),
                message=storable(why.message),
            )


def _told(batch: Batch, judged: Judged) -> Iterator[Delivered | Unanswered]:
    """Yield what is written down of what the CRM has now, or may have, where it is read as well."""
    if batch.sparing is None or batch.removes:
        return
    for row, outcome in judged:
        if isinstance(outcome, Synced):
            yield batch.sparing.delivered(row, batch.mapped_anyhow(row), outcome)
        elif isinstance(outcome, Unknown):
            yield batch.sparing.unanswered(row, batch.mapped_anyhow(row))
        elif outcome == _UNCHANGED and not row.unchanged:
            confirmed = batch.sparing.confirmed(row)
            yield from [confirmed] if confirmed else []


def _attempt(one: Delivered | Unanswered | queue.Finished) -> tuple[UUID, int]:
    return one.contact_id, one.attempt


async def _patiently(write: Callable[[], Awaitable[None]]) -> None:
    """Write what a CRM answered, however long the database is away.

    Forgotten it would be delivered again; written twice it changes nothing, the attempts have
    ended then.
    """
    async for attempt in stamina.retry_context(
        on=FAULTS, attempts=None, timeout=_PATIENCE, wait_initial=0.1, wait_max=1.0, wait_jitter=0.2
    ):
        with attempt:
            await write()
