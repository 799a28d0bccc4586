"""A state machine that drives the queue through everything that can happen to it, in any order."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from crmsync_server.store import contact, lane, queue, session
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.notify import Notifier
from crmsync_server.store.states import LEGAL_MOVES, SyncStatus
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.rescue import Rescue
from crmsync_server.sync.verdict import RetryPolicy, judge, release
from tests.store import people
from tests.sync.model import Key, Model

Result = TypeVar("Result")

_ORGS = ("acme", "globex")
_CRMS = ("brevo", "hubspot")
_POLICY = RetryPolicy(max_retries=1, max_rescues=1, jitter=lambda: 0.0)
_TABLES = (
    "session_items",
    "sessions",
    "sync_attempts",
    "sync_counts",
    "sync_hours",
    "contact_syncs",
    "tickets",
    "lanes",
    "contacts",
)

# Mostly one lane of few contacts: what goes wrong, goes wrong where everything meets.
orgs = st.sampled_from((*_ORGS[:1] * 5, *_ORGS))
crms = st.sampled_from((*_CRMS[:1] * 5, *_CRMS))
contents = st.sampled_from("ab")
masks = st.integers(1, 7)  # which of an organization's contacts
picks = st.integers(0, 99)  # which of some list, counted round
endings = st.sampled_from(
    ("synced", "rejected", "retry", "postponed", "unknown", "skipped", "released")
)


@dataclass(frozen=True)
class Claim:
    """One attempt, as the worker that claimed it remembers it."""

    key: Key
    row: sa.Row[Any]

    @property
    def attempt(self) -> int:
        """Return the attempt's number."""
        number: int = self.row.attempt
        return number


@dataclass
class World:
    """One database for all examples, and the loop that its connections live in."""

    runner: asyncio.Runner
    database: Database

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end."""
        return self.runner.run(coroutine)

    def statement(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Run one statement of the test's own."""

        async def work(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
            result = await connection.execute(sa.text(text), parameters)
            return result.all() if result.returns_rows else ()

        return self.transaction(work)

    def transaction(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, Result]]) -> Result:
        """Run in one transaction over all organizations."""

        async def whole() -> Result:
            async with self.database.everyone() as connection:
                return await work(connection)

        return self.run(whole())


@dataclass(frozen=True)
class Snapshot:
    """What Postgres says."""

    standings: dict[Key, sa.Row[Any]] = field(default_factory=dict)
    items: dict[tuple[UUID, Key], str | None] = field(default_factory=dict)
    sessions: dict[UUID, sa.Row[Any]] = field(default_factory=dict)


async def snapshot(connection: AsyncConnection) -> Snapshot:
    """Read everything."""
    standings = await connection.execute(sa.text("SELECT * FROM contact_syncs"))
    items = await connection.execute(sa.text("SELECT * FROM session_items"))
    sessions = await connection.execute(sa.text("SELECT * FROM sessions"))
    return Snapshot(
        {(row.org_id, row.contact_id, row.crm): row for row in standings},
        {(row.session_id, (row.org_id, row.contact_id, row.crm)): row.outcome for row in items},
        {row.id: row for row in sessions},
    )


class QueueMachine(RuleBasedStateMachine):
    """Interleaves all that callers, workers, crashes and rescuers do; checks after every step."""

    def __init__(self, world: World) -> None:
        """Drive the queue of this world."""
        super().__init__()
        self.world = world
        self.model = Model()
        self.contacts: dict[str, list[UUID]] = {org_id: [] for org_id in _ORGS}
        self.content: dict[UUID, str] = {}
        self.deleted: set[UUID] = set()
        self.without_email: set[UUID] = set()
        self.claims: list[Claim] = []
        self.expired: set[Key] = set()
        self.tickets: dict[str, tuple[str, str, list[Claim]]] = {}
        self.held_by_crm: dict[Key, str] = {}
        self.synced_once: set[Key] = set()
        self.before = Snapshot()
        self.sound = True

    @initialize()
    def clear(self) -> None:
        """Begin with empty tables but for some contacts."""
        for table in _TABLES:
            self.world.statement(f"DELETE FROM {table}")  # noqa: S608 - from the list above
        for org_id, email in ((_ORGS[0], True), (_ORGS[0], False), (_ORGS[1], True)):
            self._create(org_id, "a", email=email)

    # What callers do

    @rule(org_id=orgs, content=contents, email=st.booleans())
    def create(self, org_id: str, content: str, *, email: bool) -> None:
        """Add a contact, up to three to an organization."""
        if len(self.contacts[org_id]) < 3:
            self._create(org_id, content, email=email)

    @rule(org_id=orgs, pick=picks, content=contents)
    def edit(self, org_id: str, pick: int, content: str) -> None:
        """Change a contact."""
        if living := self._living(org_id):
            contact_id = living[pick % len(living)]
            self.world.transaction(lambda c: people.edit(c, org_id, contact_id, content))
            if self.content[contact_id] != content:
                self.model.edit(org_id, contact_id)
            self.content[contact_id] = content

    @rule(org_id=orgs, pick=picks)
    def delete(self, org_id: str, pick: int) -> None:
        """Delete a contact."""
        if pick < 25 and (living := self._living(org_id)):
            contact_id = living[pick % len(living)]
            self.world.transaction(lambda c: contact.delete(c, org_id, contact_id))
            self.model.edit(org_id, contact_id)
            self.deleted.add(contact_id)

    @rule(org_id=orgs, crm=crms, mask=masks, high=st.booleans(), force=st.booleans())
    def enqueue_by_id(self, org_id: str, crm: str, mask: int, *, high: bool, force: bool) -> None:
        """Queue contacts by their ids, deleted ones among them; this also retries errors."""
        asked = [one for bit, one in enumerate(self.contacts[org_id]) if mask >> bit & 1]
        expected = {one for one in asked if one not in self.deleted}
        order = people.order(crm, high=high, force=force)
        count, ids = self._enqueue(org_id, queue.Selection(asked), order, expected)
        assert set(ids) == expected
        assert count == len(expected)

    @rule(org_id=orgs, crm=crms, has_email=st.none() | st.booleans(), new=st.booleans())
    def enqueue_all(self, org_id: str, crm: str, has_email: bool | None, *, new: bool) -> None:  # noqa: FBT001 - three values, not two
        """Queue everything that passes a filter."""
        expected = {
            one
            for one in self._living(org_id)
            if (has_email is None or has_email == (one not in self.without_email))
            and not (new and (org_id, one, crm) in self.synced_once)
        }
        selection = queue.Selection(has_email=has_email, not_already_synced=new)
        count, _ = self._enqueue(org_id, selection, people.order(crm), expected)
        assert count == len(expected)

    @rule(pick=picks)
    @precondition(lambda self: self.model.sessions)
    def cancel(self, pick: int) -> None:
        """Cancel a session, ended ones too."""
        session_id = list(self.model.sessions)[pick % len(self.model.sessions)]
        org_id = self.model.sessions[session_id].org_id
        row = self.world.transaction(lambda c: session.cancel(c, org_id, session_id))
        self.model.cancel(session_id)
        assert row.state == self.model.sessions[session_id].state

    # What workers do

    @rule(pick=picks, size=st.integers(1, 3))
    @precondition(lambda self: self.model.queued())
    def claim(self, pick: int, size: int) -> None:
        """Claim a batch of some lane: as many as are due, HIGH before NORMAL."""
        queued = self.model.queued()
        org_id, _, crm = queued[pick % len(queued)]
        claimable = self.model.claimable(org_id, crm)
        rows = self.world.transaction(lambda c: people.claim(c, size, org_id, crm))
        claimed = {(org_id, row.contact_id, crm): row for row in rows}
        assert claimed.keys() <= claimable.keys()
        assert len(claimed) == min(size, len(claimable))
        left = [one for key, one in claimable.items() if key not in claimed]
        if any(one.high for one in left):
            assert all(claimable[key].high for key in claimed)
        for key, row in claimed.items():
            assert row.attempt == self.model.claim(key)
            assert row.deleted == (row.contact_id in self.deleted)
            assert row.first_name == self.content[row.contact_id]
            assert not row.unchanged or self.held_by_crm.get(key) == row.first_name
            self.claims.append(Claim(key, row))

    @rule(pick=picks, size=st.integers(1, 3), ending=endings, soon=st.booleans())
    @precondition(lambda self: self._live())
    def finish(self, pick: int, size: int, ending: str, *, soon: bool) -> None:
        """Finish some claims of one lane."""
        live = self._live()
        first = live[pick % len(live)]
        batch = [one for one in live if _lane(one) == _lane(first)][:size]
        assert self._finish(batch, ending, soon=soon) == len(batch)

    @rule(pick=picks, ending=endings)
    @precondition(lambda self: self.claims)
    def finish_late_or_twice(self, pick: int, ending: str) -> None:
        """Finish any claim ever made; only one that still owns its standing changes anything."""
        one = self.claims[pick % len(self.claims)]
        owned = self.model.owns(one.key, one.attempt)
        assert self._finish([one], ending, soon=True) == int(owned)

    @rule(pick=picks, ending=endings)
    @precondition(lambda self: self._overtaken())
    def finish_overtaken(self, pick: int, ending: str) -> None:
        """Finish a claim whose standing another worker has by now: nothing changes."""
        overtaken = self._overtaken()
        assert self._finish([overtaken[pick % len(overtaken)]], ending, soon=True) == 0

    @rule(pick=picks, applied=st.booleans())
    @precondition(lambda self: self._live())
    def lose(self, pick: int, *, applied: bool) -> None:
        """Have a worker crash, before or after the CRM applied what it sent; its lease runs out."""
        live = self._live()
        one = live[pick % len(live)]
        if applied:
            self.held_by_crm[one.key] = one.row.first_name
        self._expire(one.key)

    @rule(pick=picks, size=st.integers(1, 3))
    @precondition(lambda self: self._live())
    def hold(self, pick: int, size: int) -> None:
        """Have a CRM accept some claims of one lane for later."""
        live = self._live()
        lane_of = _lane(live[pick % len(live)])
        batch = [one for one in live if _lane(one) == lane_of][:size]
        ticket = f"ticket {len(self.tickets)}"
        self.tickets[ticket] = (*lane_of, batch)
        self._hold(ticket)
        self.expired -= {one.key for one in batch}

    @rule(pick=picks, ending=endings)
    @precondition(lambda self: self.tickets)
    def settle(self, pick: int, ending: str) -> None:
        """Ask about a ticket; what was rescued or finished meanwhile hangs on it no more."""
        ticket = list(self.tickets)[pick % len(self.tickets)]
        org_id, crm, batch = self.tickets[ticket]
        rows = self.world.transaction(lambda c: queue.held(c, org_id, crm, ticket))
        hanging = {(row.contact_id, row.attempt) for row in rows}
        batch = [one for one in batch if (one.key[1], one.attempt) in hanging]
        assert len(batch) == len(hanging)
        self._finish(batch, ending, soon=True)
        self.world.transaction(lambda c: queue.drop_ticket(c, org_id, crm, ticket))
        assert not self.world.statement("SELECT 1 FROM tickets WHERE ticket = :t", t=ticket)

    @rule()
    @precondition(lambda self: self.expired)
    def rescue(self) -> None:
        """Rescue what is expired."""
        rescue = Rescue(
            self.world.database,
            Hints(Notifier(self.world.database), lambda _: None, lambda _: None),
            _POLICY,
            timedelta(seconds=1),
            _now,
            lambda *_: True,
        )
        self.world.run(rescue.turn())
        for key in self.expired:
            row = self.before.standings[key]
            given_up = row.rescue_count >= _POLICY.max_rescues
            status = SyncStatus.ERROR if given_up else SyncStatus.QUEUED
            self.model.finish(key, row.attempt, status, due=True)
        self.expired.clear()

    @rule(org_id=orgs, crm=crms)
    def claim_from_a_paused_lane(self, org_id: str, crm: str) -> None:
        """Claim while the lane is paused: nothing, and the pause does not outlast its time."""

        async def paused(connection: AsyncConnection) -> None:
            until = _now() + timedelta(hours=1)
            await lane.pause(connection, org_id, crm, until=until, code="RATE_LIMIT", message="")
            assert not await people.claim(connection, 3, org_id, crm)
            await connection.execute(sa.text("UPDATE lanes SET paused_until = now()"))

        self.world.transaction(paused)

    # What must hold after each step

    @invariant()
    def holds(self) -> None:
        """Check what Postgres says against its own promises, its past and the model."""

        async def read(connection: AsyncConnection) -> tuple[Snapshot, Sequence[sa.Row[Any]]]:
            return await snapshot(connection), await violations(connection)

        self.sound = False
        after, broken = self.world.transaction(read)
        assert not broken
        self._moved_legally(after)
        self._agrees_with_model(after)
        self.before, self.sound = after, True

    def teardown(self) -> None:
        """Give everything a perfect CRM and unlimited time: it must all come to its end."""
        if not self.sound:
            return  # it has failed already, and that is what is to be told
        self._drain()
        assert all(outcome is not None for outcome in self.before.items.values())
        assert all(row.end_time is not None for row in self.before.sessions.values())
        assert not self.world.statement("SELECT 1 FROM contact_syncs WHERE lease_until IS NOT NULL")

    def _drain(self) -> None:
        for one in self._live():
            self._expire(one.key)
        self.rescue()
        self.holds()
        self.world.statement("UPDATE contact_syncs SET due_time = now() WHERE due_time > now()")
        for standing in self.model.standings.values():
            standing.due = True
        while self.model.queued():
            self.claim(0, 3)
            self.holds()
            assert self._finish(self._live(), "synced", soon=True)
            self.holds()

    def _moved_legally(self, after: Snapshot) -> None:
        for key, row in after.standings.items():
            old = self.before.standings.get(key)
            was, now = (SyncStatus(old.sync_status) if old else None), SyncStatus(row.sync_status)
            assert was == now or now in LEGAL_MOVES[was], f"{key}: {was} to {now}"
            assert old is None or row.attempt >= old.attempt
        for session_id, old in self.before.sessions.items():
            new = after.sessions[session_id]
            assert new.total == old.total
            assert _completed(new) >= _completed(old)
            assert new.revision > old.revision or tuple(new) == tuple(old)

    def _agrees_with_model(self, after: Snapshot) -> None:
        model = self.model
        assert {key: (row.sync_status, row.attempt) for key, row in after.standings.items()} == {
            key: (one.status, one.attempt) for key, one in model.standings.items()
        }
        assert after.items == {
            (session_id, key): item.outcome
            for session_id, one in model.sessions.items()
            for key, item in one.items.items()
        }
        assert {session_id: row.state for session_id, row in after.sessions.items()} == {
            session_id: one.state for session_id, one in model.sessions.items()
        }

    # How it is done

    def _create(self, org_id: str, content: str, *, email: bool) -> None:
        contact_id = self.world.transaction(
            lambda connection: people.create(connection, org_id, content, email=email)
        )
        self.contacts[org_id].append(contact_id)
        self.content[contact_id] = content
        if not email:
            self.without_email.add(contact_id)

    def _living(self, org_id: str) -> list[UUID]:
        return [one for one in self.contacts[org_id] if one not in self.deleted]

    def _live(self) -> list[Claim]:
        return [one for one in self.claims if self.model.owns(one.key, one.attempt)]

    def _overtaken(self) -> list[Claim]:
        under_way = {one.key: one.attempt for one in self._live()}
        return [one for one in self.claims if one.attempt < under_way.get(one.key, 0)]

    def _enqueue(
        self, org_id: str, selection: queue.Selection, order: queue.Order, expected: set[UUID]
    ) -> tuple[int, Sequence[UUID]]:
        answer = self.world.transaction(lambda c: queue.enqueue(c, org_id, selection, order))
        keys = [(org_id, one, order.crm) for one in expected]
        self.model.enqueue(order.session_id, org_id, keys, high=order.high)
        return answer

    def _finish(self, batch: Sequence[Claim], ending: str, *, soon: bool) -> int:
        if not batch:
            return 0
        org_id, crm = _lane(batch[0])
        ended = [_ended(one, ending, soon=soon) for one in batch]
        receipt = self.world.transaction(lambda c: queue.finish(c, org_id, crm, ended))
        for one, end in zip(batch, ended, strict=True):
            if self.model.owns(one.key, one.attempt):
                self._remember(one, ending, applied=soon)
            self.model.finish(one.key, one.attempt, end.status, due=soon)
            self.expired = {key for key in self.expired if key != one.key or not receipt.finished}
        return receipt.finished

    def _remember(self, one: Claim, ending: str, *, applied: bool) -> None:
        if ending == "synced" or (ending == "unknown" and applied):
            self.held_by_crm[one.key] = one.row.first_name
        if ending == "synced":
            self.synced_once.add(one.key)

    def _expire(self, key: Key) -> None:
        self.world.statement(
            "UPDATE contact_syncs SET lease_until = now() - interval '1 second'"
            " WHERE (org_id, contact_id, crm) = (:org_id, :contact_id, :crm)",
            **dict(zip(("org_id", "contact_id", "crm"), key, strict=True)),
        )
        self.expired.add(key)

    def _hold(self, ticket: str) -> None:
        org_id, crm, batch = self.tickets[ticket]
        accepted = [(one.key[1], one.attempt) for one in batch]
        kept = queue.Ticket(ticket, _now(), timedelta(hours=6))
        self.world.transaction(lambda c: queue.hold(c, org_id, crm, accepted, kept))


def _now() -> datetime:
    return datetime.now(UTC)


def _lane(one: Claim) -> tuple[str, str]:
    return one.key[0], one.key[2]


def _completed(row: sa.Row[Any]) -> int:
    completed: int = row.synced + row.skipped + row.errors + row.cancelled
    return completed


def _ended(one: Claim, ending: str, *, soon: bool) -> queue.Finished:
    if ending == "released":
        return release(one.row, _when(soon=soon), "the server stops")
    outcome = _outcome(ending, _when(soon=soon))
    return judge(one.row, outcome, _POLICY, _when(soon=soon), idempotent=True)


def _when(*, soon: bool) -> datetime:
    return _now() if soon else _now() + timedelta(hours=1)


def _outcome(ending: str, when: datetime) -> Outcome:
    outcomes: dict[str, Outcome] = {
        "synced": Synced("1"),
        "rejected": Rejected("VALIDATION_ERROR", "no"),
        "retry": Retry("HTTP_503", "later", after=when),
        "postponed": Postponed(when, "RATE_LIMIT"),
        "unknown": Unknown("no answer"),
        "skipped": Skipped(SkipReason.UNCHANGED),
    }
    return outcomes[ending]
