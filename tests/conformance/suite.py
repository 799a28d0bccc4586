"""What every adapter promises, run against its CRM's simulator over real HTTP.

A subclass names its CRM and says how the simulator shows a contact. A promise that a CRM
cannot keep is listed in `lacks` with the reason, by the name of its test.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from unittest.mock import ANY

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Skipped, Synced, Unknown
from crmsync_server.crm.transport import GuardedTransport
from tests.conformance.deletion import Deletions
from tests.conformance.harness import Emptied, Held
from tests.crm.support import SECRET, deliveries, delivery
from tests.eventually import eventually

# Far more than chance needs: a contact that has not ended by then never would.
_MOST_ROUNDS = 100


@pytest.mark.asyncio(loop_scope="module")
class AdapterConformance(Deletions):
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

    async def test_an_address_that_is_to_be_kept_is_kept(self) -> None:
        """Everything else of the delivery arrives at the contact of the id."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1, email="theirs+1@example.com")])
        assert isinstance(first, Synced)
        known = delivery(1, crm_contact_id=first.crm_contact_id, email="ours+1@example.com")
        kept = replace(known, attempt=2, first_name="Ann", keep_email=True)
        (outcome,) = await self.deliver(adapter, [kept])
        assert isinstance(outcome, Synced)
        assert outcome.crm_contact_id == first.crm_contact_id
        held = self.held()
        assert [(email, one.first_name) for email, one in held.items()] == [
            ("theirs+1@example.com", "Ann")
        ]

    async def test_empty_values_keep_the_crms(self) -> None:
        """A contact without a company does not erase the one the CRM has."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2, company="")])
        assert isinstance(outcome, Synced)
        assert [one.company for one in self.held().values()] == ["Company 1"]

    async def test_empty_values_that_are_to_be_blank_clear_the_crms(self) -> None:
        """Only what is empty and named is cleared, whether the CRM's id is known or not."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(first, Synced)
        for known in (first.crm_contact_id, None):
            await self.deliver(adapter, [delivery(1)])
            cleared = replace(
                delivery(1, crm_contact_id=known),
                attempt=2,
                first_name="",
                company="",
                blank=frozenset({"company", "last_name"}),
            )
            (outcome,) = await self.deliver(adapter, [cleared])
            assert isinstance(outcome, Synced)
            assert list(self.held().values()) == [Held("person1@example.com", "First1", "Last1")]

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

    async def test_a_rate_limit_is_told_to_the_quota(self) -> None:
        """By a bucket that the adapter declares; other replicas then wait too."""
        self.turn(throttle_rate=1)
        adapter = self.adapter()
        await adapter.push(deliveries(3))
        declared = {limit.bucket for limit in adapter.capabilities.limits}
        now = datetime.now(UTC)
        assert self.quota.refusals
        assert {bucket for bucket, _ in self.quota.refusals} <= declared
        assert all(now < until <= now + timedelta(days=1) for _, until in self.quota.refusals)

    async def test_limits_in_headers_are_told_to_the_quota(self) -> None:
        """How many calls the account has, and how many are left."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        declared = {limit.bucket for limit in adapter.capabilities.limits}
        assert self.quota.told
        assert {told.bucket for told in self.quota.told} <= declared
        assert all(told.calls and told.remaining is not None for told in self.quota.told)

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
        (outcome,) = await self.unreachable().push([delivery(1)])
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

    async def test_a_crm_at_an_address_that_is_not_allowed_is_not_called(self) -> None:
        """The simulator is inside our own network: the lane pauses, and nothing arrives."""
        async with httpx.AsyncClient(transport=GuardedTransport()) as client:
            adapter = self.adapter(client)
            with pytest.raises(CredentialsRefusedError):
                await adapter.push([delivery(1)])
            standing = await adapter.check()
            if adapter.capabilities.read_back:
                assert list(await adapter.read_back([delivery(1)])) == [None]
        assert (standing.valid, standing.reachable) == (False, False)
        assert self.simulator.calls.as_json()["total"] == 0

    # --- reading back ---------------------------------------------------------

    async def test_an_unknown_outcome_is_settled_by_reading_back(self) -> None:
        """What was applied although no answer came is found, under the id that push gives."""
        adapter = self.adapter()
        assert adapter.capabilities.read_back
        self.fail_write(kind="drop", applied=True)
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Unknown)
        again = replace(delivery(1), attempt=2)

        async def found() -> Synced:
            (synced,) = await adapter.read_back([again])
            assert synced is not None
            return synced

        synced = await eventually(found)
        assert await self.deliver(adapter, [again]) == [
            replace(synced, request_id=ANY, modified_time=ANY)
        ]

    async def test_reading_back_finds_nothing_that_was_not_applied(self) -> None:
        """The connection was lost before the CRM did anything."""
        adapter = self.adapter()
        self.fail_write(kind="drop")
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Unknown)
        assert await adapter.read_back([delivery(1)]) == [None]

    async def test_reading_back_compares_every_value(self) -> None:
        """A contact that is there with another name was not delivered; the others have theirs."""
        adapter = self.adapter()
        batch = deliveries(4)
        outcomes = await self.deliver(adapter, batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        batch[1] = replace(batch[1], first_name="Ann")
        batch[2] = replace(batch[2], company="", blank=frozenset({"company"}))
        batch.insert(0, delivery(5))
        before = self.writes
        found = await adapter.read_back(batch)
        assert [synced is not None for synced in found] == [False, True, False, False, True]
        assert self.writes == before

    async def test_reading_back_keeps_to_what_was_delivered(self) -> None:
        """Values that we do not deliver, and empty ones, are the CRM's own affair."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (synced,) = await adapter.read_back([replace(delivery(1), company="", phone="")])
        assert synced is not None

    @pytest.mark.parametrize(
        "dial", [{"throttle_rate": 1}, {"server_error_rate": 1}, {"drop_rate": 1}]
    )
    async def test_reading_back_through_a_fault_tells_nothing(self, dial: dict[str, int]) -> None:
        """Neither is it taken for delivered, nor is anything raised."""
        adapter = self.adapter()
        await self.deliver(adapter, deliveries(2))
        self.turn(**dial)
        assert list(await adapter.read_back(deliveries(2))) == [None, None]

    async def test_reading_back_with_refused_credentials_tells_nothing(self) -> None:
        """The next push finds out, and pauses the lane."""
        self.turn(token_expired=True)
        assert list(await self.adapter().read_back(deliveries(2))) == [None, None]

    # --- credentials ----------------------------------------------------------

    async def test_refused_credentials_raise_and_hide_the_secret(self) -> None:
        """The engine pauses the lane; no text repeats the secret."""
        self.turn(token_expired=True)
        adapter = self.adapter()
        with pytest.raises(CredentialsRefusedError) as raised:
            await adapter.push([delivery(1)])
        assert SECRET not in f"{raised.value!r} {adapter!r}"

    async def test_a_check_tells_good_credentials_from_bad(self) -> None:
        """Both are answers, so the CRM was reached; no text repeats the secret."""
        adapter = self.adapter()
        good = await adapter.check()
        assert (good.valid, good.reachable) == (True, True)
        self.turn(token_expired=True)
        bad = await adapter.check()
        assert (bad.valid, bad.reachable) == (False, True)
        assert bad.message
        assert SECRET not in repr((good, bad))

    @pytest.mark.parametrize(
        "dial",
        [
            {"throttle_rate": 1},
            {"server_error_rate": 1},
            {"server_error_rate": 1, "server_error_statuses": [500]},
            {"drop_rate": 1},
            {"hang_rate": 1},
        ],
    )
    async def test_a_check_tells_a_crm_that_gave_no_answer(self, dial: dict[str, object]) -> None:
        """Then nothing is said against the credentials."""
        self.turn(**dial)
        standing = await self.adapter().check()
        assert (standing.valid, standing.reachable) == (False, False)
        assert standing.message

    async def test_a_check_tells_a_crm_that_is_not_there(self) -> None:
        """Nobody listens at its address."""
        standing = await self.unreachable().check()
        assert (standing.valid, standing.reachable) == (False, False)

    @pytest.mark.parametrize(
        "dial", [{}, {"token_expired": True}, {"server_error_rate": 1}, {"throttle_rate": 1}]
    )
    async def test_checking_credentials_writes_nothing(self, dial: dict[str, object]) -> None:
        """Whatever is found out about them."""
        self.turn(**dial)
        await self.adapter().check()
        assert self.simulator.calls.as_json()["total"]
        assert self.writes == 0
