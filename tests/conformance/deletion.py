"""What every adapter promises of removals whose capabilities say that it can make them."""

from typing import cast

import pytest

from crmsync_server.crm.adapter import Adapter, CredentialsRefusedError, Deleter, Delivery
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced, Unknown
from tests.conformance.harness import Harness
from tests.crm.support import deliveries, delivery

_MOST_ROUNDS = 100


class Deletions(Harness):
    """The promises about removals."""

    def deleter(self) -> tuple[Adapter, Deleter]:
        """Return an adapter, which says that it removes, and itself as what removes."""
        adapter = self.adapter()
        assert adapter.capabilities.delete
        return adapter, cast("Deleter", adapter)

    async def linked(self, adapter: Adapter, count: int) -> list[Delivery]:
        """Deliver so many contacts; return them with the ids that the CRM gave."""
        outcomes = await self.deliver(adapter, deliveries(count))
        return [_linked(number, outcome) for number, outcome in enumerate(outcomes, 1)]

    async def test_a_removed_record_is_gone_and_no_other_is(self) -> None:
        """Removed by the CRM's id, which the outcome repeats."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, 3)
        assert list(await deleter.delete(people[1:2])) == [Synced(_id(people[1]))]
        assert self.held().keys() == {people[0].email, people[2].email}

    async def test_a_record_whose_id_is_not_known_is_removed_by_its_email(self) -> None:
        """A delivery whose answer was lost may have made it."""
        adapter, deleter = self.deleter()
        await self.linked(adapter, 2)
        (outcome,) = await deleter.delete([delivery(1)])
        assert isinstance(outcome, Synced)
        assert self.held().keys() == {"person2@example.com"}

    async def test_what_is_gone_already_counts_as_removed(self) -> None:
        """Also beside one that is there, and where nobody ever was."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, 2)
        await deleter.delete(people[:1])
        outcomes = await deleter.delete([*people, delivery(1), delivery(99)])
        assert {type(outcome) for outcome in outcomes} == {Synced}
        assert self.held() == {}

    async def test_a_contact_of_which_nothing_is_known_has_no_record(self) -> None:
        """Neither an id nor an email: nothing is there to be removed, and nothing is."""
        adapter, deleter = self.deleter()
        await self.linked(adapter, 1)
        (outcome,) = await deleter.delete([delivery(7, email=" ")])
        assert isinstance(outcome, Synced)
        assert self.held().keys() == {"person1@example.com"}

    async def test_a_full_batch_is_removed(self) -> None:
        """As many as a push takes, each with its own outcome."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, min(100, adapter.capabilities.max_batch))
        outcomes = await deleter.delete(people)
        assert outcomes == [Synced(_id(one)) for one in people]
        assert self.held() == {}

    async def test_a_rate_limit_postpones_a_removal(self) -> None:
        """Nothing is removed."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, 2)
        self.turn(throttle_rate=1)
        outcomes = await deleter.delete(people)
        assert {type(outcome) for outcome in outcomes} == {Postponed}
        assert len(self.held()) == 2

    @pytest.mark.parametrize("dial", [{"server_error_rate": 1}, {"drop_rate": 1}])
    async def test_a_fault_is_no_removal(self, dial: dict[str, int]) -> None:
        """It is tried again, and is done then, whether it was before or not."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, 2)
        self.turn(**dial)
        outcomes = await deleter.delete(people)
        assert {type(outcome) for outcome in outcomes} <= {Retry, Unknown, Postponed}
        self.turn()
        assert {type(outcome) for outcome in await deleter.delete(people)} == {Synced}
        assert self.held() == {}

    async def test_refused_credentials_raise_instead_of_removing(self) -> None:
        """The engine pauses the lane."""
        adapter, deleter = self.deleter()
        people = await self.linked(adapter, 1)
        self.turn(token_expired=True)
        with pytest.raises(CredentialsRefusedError):
            await deleter.delete(people)
        self.turn()
        assert len(self.held()) == 1

    async def test_every_removal_is_accounted_for_under_random_faults(self) -> None:
        """Tried again until all are done, nothing is left and nobody else is gone."""
        adapter, deleter = self.deleter()
        *people, stays = await self.linked(adapter, 40)
        self.turn(server_error_rate=0.3, drop_rate=0.2, throttle_rate=0.1)
        waiting = list(people)
        for _ in range(_MOST_ROUNDS):
            outcomes = await deleter.delete(waiting)
            assert len(outcomes) == len(waiting)
            told = zip(waiting, outcomes, strict=True)
            waiting = [one for one, outcome in told if not isinstance(outcome, Synced)]
            if not waiting:
                break
        assert not waiting
        assert self.held().keys() == {stays.email}


def _linked(number: int, outcome: Outcome) -> Delivery:
    assert isinstance(outcome, Synced)
    return delivery(number, crm_contact_id=outcome.crm_contact_id)


def _id(one: Delivery) -> str:
    return one.crm_contact_id or ""
