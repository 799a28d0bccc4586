"""What every adapter promises, run against its CRM's simulator over real HTTP.

A subclass names its CRM and says how the simulator shows a contact. A promise that a CRM
cannot keep is listed in `lacks` with the reason, by the name of its test.
"""

import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Skipped, Synced, Unknown
from tests.conformance.harness import Emptied, Harness, Held
from tests.crm.support import SECRET, deliveries, delivery

# Far more than chance needs: a contact that has not ended by then never would.
_MOST_ROUNDS = 100


@pytest.mark.asyncio(loop_scope="module")
class AdapterConformance(Harness):
    """The promises; a subclass is collected, this class is not."""

    __test__ = False

    lacks: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        """Leave out the promises the CRM lacks; raises AttributeError for an unknown one."""
        cls.__test__ = True
        for promise in cls.lacks:
            getattr(cls, promise)
            setattr(cls, promise, None)

    # --- what arrives ---------------------------------------------------------

    async def test_one_contact_arrives(self) -> None:
        """The CRM holds every field, and the outcome carries an id to find it by."""
        (outcome,) = await self.deliver(self.adapter(), [delivery(1)])
        assert isinstance(outcome, Synced)
        assert outcome.crm_contact_id
        assert list(self.held().values()) == [
            Held("person1@example.com", "First1", "Last1", "Company 1")
        ]

    async def test_a_full_batch_arrives(self) -> None:
        """As many as the adapter says it takes."""
        adapter = self.adapter()
        batch = deliveries(adapter.capabilities.max_batch)
        outcomes = await self.deliver(adapter, batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        assert self.held().keys() == {one.email for one in batch}

    async def test_text_arrives_exactly(self) -> None:
        """Accents, emoji, apostrophes, quotes, other scripts and plus-addresses survive."""
        people = [
            ("zoë+news@example.com".replace("ë", "e"), "Zoë", "O'Brien-Ñandú"),
            ("emoji@example.com", "👩‍🚀 Ada", '"Lady" <Lovelace> & Sons'),
            ("o'hara%1@example.com", "Иван", "日本; 山田, \\太郎"),
        ]
        batch = [
            replace(delivery(n), email=email, first_name=first, last_name=last)
            for n, (email, first, last) in enumerate(people, 1)
        ]
        outcomes = await self.deliver(self.adapter(), batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        held = self.held()
        assert [(e, held[e].first_name, held[e].last_name) for e, _, _ in people] == people

    async def test_a_second_delivery_updates(self) -> None:
        """Once by the id the CRM gave, once without it: never a second contact."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(first, Synced)
        for known, name in ((first.crm_contact_id, "Ann"), (None, "Bea")):
            changed = replace(delivery(1, crm_contact_id=known), attempt=2, first_name=name)
            (outcome,) = await self.deliver(adapter, [changed])
            assert isinstance(outcome, Synced)
            assert [one.first_name for one in self.held().values()] == [name]

    async def test_a_changed_address_changes_the_same_contact(self) -> None:
        """The contact moves; nothing stays behind under the former address."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1, email="old+1@example.com")])
        assert isinstance(first, Synced)
        moved = delivery(1, crm_contact_id=first.crm_contact_id, email="new+1@example.com")
        (outcome,) = await self.deliver(adapter, [moved])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["new+1@example.com"]

    async def test_empty_values_keep_the_crms(self) -> None:
        """A contact without a company does not erase the one the CRM has."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2, company="")])
        assert isinstance(outcome, Synced)
        assert [one.company for one in self.held().values()] == ["Company 1"]

    async def test_empty_values_clear_what_we_own(self) -> None:
        """A company removed from our contact is removed from the CRM's."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2, company="")])
        assert isinstance(outcome, Synced)
        assert [one.company for one in self.held().values()] == [""]

    async def test_an_unknown_property_does_not_keep_a_contact_out(self) -> None:
        """What the CRM has no place for is left out and named; the rest arrives."""
        unknown = replace(delivery(1), properties={"no_such_place": "x"})
        (outcome,) = await self.deliver(self.adapter(), [unknown])
        assert isinstance(outcome, Synced)
        assert "no_such_place" in outcome.note.lower()
        assert list(self.held()) == ["person1@example.com"]

    # --- what does not --------------------------------------------------------

    async def test_every_delivery_has_one_outcome_in_its_place(self) -> None:
        """Contacts without an address and repeated addresses included."""
        batch = [
            delivery(1),
            delivery(2, email=" "),
            delivery(3),
            delivery(4, email="PERSON1@example.com"),
        ]
        outcomes = await self.deliver(self.adapter(), batch)
        assert [isinstance(outcome, Skipped) for outcome in outcomes] == [False, True, False, False]
        assert isinstance(outcomes[0], Synced)
        assert isinstance(outcomes[3], Synced | Postponed)

    async def test_rejected_records_do_not_sink_their_batch(self) -> None:
        """Exactly the records the CRM finds invalid are rejected."""
        self.turn(reject_share=0.08)
        rejected, invalid = await self._rejected_and_invalid()
        assert rejected == invalid

    async def test_unnamed_culprits_do_not_sink_their_batch(self) -> None:
        """Also when the CRM refuses all of it and says nothing about whom it means."""
        self.turn(reject_share=0.08, unnamed_culprits=True)
        rejected, invalid = await self._rejected_and_invalid()
        assert rejected == invalid

    async def _rejected_and_invalid(self) -> tuple[set[str], set[str]]:
        """Deliver a batch, and see the rest arrive; return whom adapter and CRM refuse."""
        batch = deliveries(100)
        outcomes = await self.deliver(self.adapter(), batch)
        invalid = {one.email for one in batch if self.simulator.faults.rejects(one.email)}
        answered = zip(batch, outcomes, strict=True)
        assert invalid
        assert sum(isinstance(outcome, Synced) for outcome in outcomes) == 100 - len(invalid)
        assert self.held().keys() == {one.email for one in batch} - invalid
        return {one.email for one, outcome in answered if isinstance(outcome, Rejected)}, invalid

    async def test_a_rate_limit_postpones(self) -> None:
        """Nothing is applied, and the outcome says until when to wait."""
        self.turn(throttle_rate=1)
        outcomes = await self.adapter().push(deliveries(3))
        assert {type(outcome) for outcome in outcomes} == {Postponed}
        now = datetime.now(UTC)
        waits = [outcome.until - now for outcome in outcomes if isinstance(outcome, Postponed)]
        assert all(timedelta(0) < wait <= timedelta(days=1) for wait in waits)
        assert self.held() == {}

    async def test_a_fault_of_the_crm_is_tried_again(self) -> None:
        """A 503 applied nothing; the next push delivers."""
        adapter = self.adapter()
        self.fail_write(kind="status", status=503, times=1)
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Retry)
        assert self.held() == {}
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Synced)

    @pytest.mark.parametrize("kind", ["hang", "drop"])
    async def test_an_applied_but_unanswered_push_is_unknown(self, kind: str) -> None:
        """And delivering again makes no second contact."""
        adapter = self.adapter()
        self.fail_write(kind=kind, applied=True)
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Unknown)
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2)])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["person1@example.com"]
        assert len(list(self.simulator.contacts())) == 1

    async def test_a_dropped_connection_is_unknown(self) -> None:
        """Nobody can tell that it was dropped before the CRM applied anything."""
        self.fail_write(kind="drop")
        (outcome,) = await self.deliver(self.adapter(), [delivery(1)])
        assert isinstance(outcome, Unknown)

    async def test_an_unreachable_crm_is_tried_again(self) -> None:
        """Nothing was sent, so nothing is unknown."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        adapter = self.adapter(base_url=f"http://127.0.0.1:{port}")
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Retry)

    async def test_an_empty_answer_is_no_success(self) -> None:
        """What a reply does not account for is a failure, although the status says 200."""
        async with httpx.AsyncClient(transport=Emptied()) as client:
            outcomes = await self.adapter(client).push(deliveries(2))
        assert [type(outcome) for outcome in outcomes] == [Retry, Retry]

    async def test_every_contact_is_accounted_for_under_random_faults(self) -> None:
        """Delivered until each has ended: the CRM holds exactly those that were synced, once."""
        self.turn(
            seed=11,
            throttle_rate=0.1,
            server_error_rate=0.1,
            drop_rate=0.05,
            drop_after_applying_rate=0.1,
            reject_share=0.05,
        )
        batch = deliveries(200)
        adapter = self.adapter()
        synced, rejected = set[str](), set[str]()
        waiting = list(batch)
        for _ in range(_MOST_ROUNDS):
            sent, waiting = waiting[:100], waiting[100:]
            for one, outcome in zip(sent, await self.deliver(adapter, sent), strict=True):
                match outcome:
                    case Synced():
                        synced.add(one.email)
                    case Rejected():
                        rejected.add(one.email)
                    case _:
                        waiting.append(one)
        assert waiting == []
        assert rejected == {one.email for one in batch if self.simulator.faults.rejects(one.email)}
        assert synced == {one.email for one in batch} - rejected
        assert sorted(contact["email"] for contact in self.simulator.contacts()) == sorted(synced)

    # --- credentials ----------------------------------------------------------

    async def test_refused_credentials_raise_and_hide_the_secret(self) -> None:
        """The engine pauses the lane; no text repeats the secret."""
        self.turn(token_expired=True)
        adapter = self.adapter()
        with pytest.raises(CredentialsRefusedError) as raised:
            await adapter.push([delivery(1)])
        assert SECRET not in f"{raised.value!r} {adapter!r}"

    async def test_a_check_tells_good_credentials_from_bad_without_writing(self) -> None:
        """The simulator counts no write."""
        adapter = self.adapter()
        assert (await adapter.check()).valid
        self.turn(token_expired=True)
        standing = await adapter.check()
        assert not standing.valid
        assert SECRET not in repr(standing)
        assert self.simulator.calls.as_json()["writes"] == 0
