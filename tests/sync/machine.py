"""A state machine that drives the queue through everything that can happen to it, in any order."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact, lane, queue, session
from crmsync_server.store import ticket as ticket_store
from crmsync_server.store.invariants import violations
from crmsync_server.store.notify import Notifier
from crmsync_server.store.states import SyncStatus
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.rescue import Rescue
from crmsync_server.sync.verdict import LEAST_WAIT
from tests.store import people
from tests.sync.bench import harmless
from tests.sync.checks import agrees_with_model, moved_legally
from tests.sync.drive import CRMS, ORGS
from tests.sync.second_thoughts import SecondThoughts
from tests.sync.world import POLICY, Claim, Snapshot, now, snapshot

# Mostly one lane of few contacts: what goes wrong, goes wrong where everything meets.
orgs = st.sampled_from((*ORGS[:1] * 5, *ORGS))
crms = st.sampled_from((*CRMS[:1] * 5, *CRMS))
contents = st.sampled_from("ab")
masks = st.integers(1, 7)  # which of an organization's contacts
picks = st.integers(0, 99)  # which of some list, counted round
endings = st.sampled_from(
    ("synced", "rejected", "retry", "postponed", "refused", "unknown", "skipped", "released")
)


class QueueMachine(SecondThoughts):
    """Interleaves all that callers, workers, crashes and rescuers do; checks after every step."""

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

    @rule(org_id=orgs, crm=crms, mask=masks, high=st.booleans())
    def remove(self, org_id: str, crm: str, mask: int, *, high: bool) -> None:
        """Ask for records to be removed, also of contacts that are deleted here."""
        asked = [one for bit, one in enumerate(self.contacts[org_id]) if mask >> bit & 1]
        order = people.order(crm, high=high, removing=True)
        count, ids = self._enqueue(org_id, queue.Selection(asked), order, set(asked))
        assert set(ids) == set(asked)
        assert count == len(asked)

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
        # In an order of their own: a replay must do the same, whatever plan Postgres chose.
        for key, row in sorted(claimed.items()):
            assert row.removing == self.model.standings[key].removing
            assert row.attempt == self.model.claim(key)
            assert row.deleted == (row.contact_id in self.deleted)
            assert row.first_name == self.content[row.contact_id]
            assert row.removing or not row.unchanged or self.held_by_crm.get(key) == row.first_name
            self.claims.append(Claim(key, row))

    @rule(pick=picks, size=st.integers(1, 3), ending=endings, soon=st.booleans())
    @precondition(lambda self: self._live())
    def finish(self, pick: int, size: int, ending: str, *, soon: bool) -> None:
        """Finish some claims of one lane."""
        live = self._live()
        first = live[pick % len(live)]
        batch = [one for one in live if one.lane == first.lane][:size]
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
        if applied and one.row.removing:
            self.held_by_crm.pop(one.key, None)
        elif applied:
            self.held_by_crm[one.key] = one.row.first_name
        self._expire(one.key)

    @rule(pick=picks, size=st.integers(1, 3))
    @precondition(lambda self: self._live())
    def hold(self, pick: int, size: int) -> None:
        """Have a CRM accept some claims of one lane for later."""
        live = self._live()
        first = live[pick % len(live)]
        batch = [one for one in live if one.lane == first.lane][:size]
        ticket = f"ticket {len(self.tickets)}"
        self.tickets[ticket] = (*first.lane, batch)
        self._hold(ticket)
        self.expired -= {one.key for one in batch}

    @rule(pick=picks, ending=endings)
    @precondition(lambda self: self.tickets)
    def settle(self, pick: int, ending: str) -> None:
        """Ask about a ticket; what was rescued or finished meanwhile hangs on it no more."""
        ticket = list(self.tickets)[pick % len(self.tickets)]
        org_id, crm, batch = self.tickets[ticket]
        rows = self.world.transaction(lambda c: ticket_store.held(c, org_id, crm, ticket))
        hanging = {(row.contact_id, row.attempt) for row in rows}
        batch = [one for one in batch if (one.key[1], one.attempt) in hanging]
        assert len(batch) == len(hanging)
        self._finish(batch, ending, soon=True)
        self.world.transaction(lambda c: ticket_store.drop(c, org_id, crm, ticket))
        assert not self.world.statement("SELECT 1 FROM tickets WHERE ticket = :t", t=ticket)

    @rule()
    @precondition(lambda self: self.expired)
    def rescue(self) -> None:
        """Rescue what is expired, but for what is held under a ticket: that is asked about."""
        rescue = Rescue(
            self.world.database,
            Hints(Notifier(self.world.database), lambda _: None, lambda _: None),
            POLICY,
            timedelta(seconds=1),
            now,
            harmless,
        )
        self.world.run(rescue.turn())
        lost = {key for key in self.expired if self.before.standings[key].ticket is None}
        for key in lost:
            row = self.before.standings[key]
            given_up = row.rescue_count >= POLICY.max_rescues
            status = SyncStatus.ERROR if given_up else SyncStatus.QUEUED
            self.model.finish(key, row.attempt, status, due=True)
        self.expired -= lost

    @rule(org_id=orgs, crm=crms)
    def claim_from_a_paused_lane(self, org_id: str, crm: str) -> None:
        """Claim while the lane is paused: nothing, and the pause does not outlast its time."""

        async def paused(connection: AsyncConnection) -> None:
            until = now() + timedelta(hours=1)
            await lane.pause(connection, org_id, crm, until=until, code="RATE_LIMIT", message="")
            assert not await people.claim(connection, 3, org_id, crm)
            await connection.execute(sa.text("UPDATE lanes SET paused_until = now()"))

        self.world.transaction(paused)

    @rule(org_id=orgs, crm=crms, well=st.booleans(), cured=st.booleans())
    def claim_from_a_closed_lane(self, org_id: str, crm: str, *, well: bool, cured: bool) -> None:
        """Claim while the lane waits for its probe: nothing, and one probe at a time is taken."""
        fault = lane.Fault("CIRCUIT_OPEN", "", timedelta(hours=1), timedelta(hours=9))

        async def closed(connection: AsyncConnection) -> None:
            assert await lane.trip(connection, org_id, crm, fault)
            assert await lane.begin_probe(connection, org_id, crm, LEAST_WAIT) is None
            await connection.execute(sa.text("UPDATE lanes SET paused_until = now()"))
            assert not await people.claim(connection, 3, org_id, crm)
            until = await lane.begin_probe(connection, org_id, crm, LEAST_WAIT)
            assert until
            assert await lane.begin_probe(connection, org_id, crm, LEAST_WAIT) is None
            if cured:
                assert await lane.resume(connection, org_id, crm, codes=["CIRCUIT_OPEN"])
            if well:
                assert await lane.resume(connection, org_id, crm, probed=until) != cured
                return
            assert (await lane.trip(connection, org_id, crm, fault, probed=True) is None) == cured
            assert cured or not await people.claim(connection, 3, org_id, crm)
            await lane.resume(connection, org_id, crm)

        self.world.transaction(closed)

    # What must hold after each step

    @invariant()
    def holds(self) -> None:
        """Check what Postgres says against its own promises, its past and the model."""

        async def read(connection: AsyncConnection) -> tuple[Snapshot, Sequence[sa.Row[Any]]]:
            return await snapshot(connection), await violations(connection)

        self.sound = False
        after, broken = self.world.transaction(read)
        assert not broken
        moved_legally(self.before, after)
        agrees_with_model(after, self.model)
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
        for pick in range(len(self.tickets)):
            self.settle(pick, "synced")
            self.holds()
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
