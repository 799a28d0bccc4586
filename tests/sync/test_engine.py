"""The engine: many lanes at once, and what starting, stopping and dying does to their work."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.outcomes import Accepted, Outcome
from crmsync_server.store import queue
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.rescue import Rescue
from tests.eventually import eventually
from tests.store import people
from tests.store.people import CRM, ORG
from tests.sync.adapters import Gate, Scripted, all_synced, answering, traits
from tests.sync.bench import Shop, harmless, now

GLOBEX = "globex"


async def test_everything_queued_is_delivered(shop: Shop) -> None:
    """Of every organization and CRM."""
    sessions = [
        (org_id, (await shop.stock(25, org_id, crm))[1])
        for org_id in (ORG, GLOBEX)
        for crm in ("brevo", "hubspot")
    ]
    adapters = {
        (org_id, crm): Scripted() for org_id in (ORG, GLOBEX) for crm in ("brevo", "hubspot")
    }

    async def ended() -> None:
        for org_id, session_id in sessions:
            assert (await shop.session(session_id, org_id)).synced == 25

    async with shop.engine(adapters):
        await eventually(ended)


async def test_a_lane_never_has_more_pushes_than_its_crm_allows(shop: Shop) -> None:
    """And as many as that when whole batches wait."""
    await shop.stock(100)
    at_once: list[int] = []
    gate = Gate()

    async def answer(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        at_once.append(1)
        if sum(at_once) == 3:
            gate.open()
        outcomes = await gate(batch)
        at_once.append(-1)
        return outcomes

    freely = [all_synced] * 3  # a worker joins when a whole batch is done and more may wait
    adapter = Scripted(traits(concurrency=3, max_batch=5), [*freely, answer])
    async with shop.engine({(ORG, CRM): adapter}):
        await eventually(lambda: assert_delivered(adapter, 100))
    levels = [sum(at_once[: end + 1]) for end in range(len(at_once))]
    assert max(levels) == 3


async def test_what_is_urgent_does_not_wait_for_a_place(shop: Shop) -> None:
    """All that NORMAL work may take is taken, by pushes that hang."""
    await shop.stock(100)
    hanging = Gate()
    freely = [all_synced] * 4
    adapter = Scripted(traits(concurrency=4, max_batch=5), [*freely, *[hanging] * 3, all_synced])
    async with shop.engine({(ORG, CRM): adapter}):
        await eventually(lambda: assert_delivered(adapter, 35))
        [urgent] = await people.populate(shop.database, 1)
        await shop.enqueue([urgent], people.order(high=True))
        await eventually(lambda: assert_delivered(adapter, 36))
        assert [one.contact_id for one in adapter.pushed[-1]] == [urgent]
        hanging.open()


@pytest.mark.parametrize("how", ["switched off", "connection deleted"])
async def test_a_lane_that_is_switched_off_stops_in_the_middle(shop: Shop, how: str) -> None:
    """Not when its queue is empty; what was claimed comes to its end."""
    await shop.stock(50)
    gate = Gate()
    adapter = Scripted(traits(max_batch=1), [all_synced, gate])
    configs: dict[str, LaneConfig] = {}
    adapters = {(ORG, CRM): adapter}
    async with shop.engine(adapters, configs) as engine:
        await gate.reached.wait()
        if how == "switched off":
            configs[ORG] = LaneConfig(enabled=False)
        else:
            adapters.clear()
        looked = shop.looked
        engine.on_work(None)

        def has_looked() -> None:
            assert shop.looked > looked

        async def ended() -> None:
            assert await shop.outcomes() == ["SYNCED", "SYNCED"]

        await eventually(has_looked)
        gate.open()
        await eventually(ended)
        assert_delivered(adapter, 2)


async def test_a_large_organization_does_not_delay_a_small_one(shop: Shop) -> None:
    """The one record of the other is sent within the batches of one round."""
    await shop.stock(5000)
    order: list[str] = []
    begun = Gate()

    async def large(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        order.append(ORG)
        return await (begun(batch) if len(order) == 1 else all_synced(batch))

    async def small(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        order.append(GLOBEX)
        return await all_synced(batch)

    adapters = {
        (ORG, CRM): Scripted(traits(max_batch=50), [large]),
        (GLOBEX, CRM): Scripted(answers=[small]),
    }
    async with shop.engine(adapters) as engine:
        await begun.reached.wait()
        await shop.stock(1, GLOBEX)
        begun.open()
        engine.on_work(None)
        await eventually(lambda: assert_in(GLOBEX, order))
    assert order.index(GLOBEX) < 30


async def test_a_crm_that_hangs_delays_nobody_else(shop: Shop) -> None:
    """Neither another CRM nor another organization."""
    await shop.stock(30)
    _, other_crm = await shop.stock(30, crm="brevo")
    _, other_org = await shop.stock(30, GLOBEX)
    hanging = Gate()
    adapters = {
        (ORG, CRM): Scripted(traits(concurrency=2), [hanging]),
        (ORG, "brevo"): Scripted(),
        (GLOBEX, CRM): Scripted(),
    }

    async def ended() -> None:
        assert (await shop.session(other_crm)).synced == 30
        assert (await shop.session(other_org, GLOBEX)).synced == 30

    async with shop.engine(adapters):
        await hanging.reached.wait()
        await eventually(ended)
        hanging.open()


async def test_an_organization_that_cannot_be_served_delays_nobody(shop: Shop) -> None:
    """Its adapter cannot even be built."""
    await shop.stock(1)
    _, session_id = await shop.stock(1, GLOBEX)
    adapters = {(GLOBEX, CRM): Scripted()}

    class Broken(dict[tuple[str, str], Scripted]):
        def get(self, lane: tuple[str, str]) -> Scripted | None:  # type: ignore[override]  # narrower
            if lane[0] == ORG:
                message = "the secret token is missing"
                raise ValueError(message)
            return adapters.get(lane)

    async def ended() -> None:
        assert (await shop.session(session_id, GLOBEX)).synced == 1

    async with shop.engine(Broken()):
        await eventually(ended)


async def test_a_database_that_fails_for_a_moment_closes_no_lane(shop: Shop) -> None:
    """What the account is could not be read; nothing is wrong with it."""
    _, session_id = await shop.stock(1)
    adapters = {(ORG, CRM): Scripted()}
    faults = [sa.exc.TimeoutError("no connection is free")]

    class Failing(dict[tuple[str, str], Scripted]):
        def get(self, lane: tuple[str, str]) -> Scripted | None:  # type: ignore[override]  # narrower
            if faults:
                raise faults.pop()
            return adapters.get(lane)

    async def ended() -> None:
        assert (await shop.session(session_id)).synced == 1

    async with shop.engine(Failing()):
        await eventually(ended)
    assert not await shop.rows("SELECT 1 FROM lanes WHERE trips > 0")


async def test_stopping_lets_pushes_end_and_claims_nothing_more(shop: Shop) -> None:
    """What is delivered is written down; the rest stays queued."""
    await shop.stock(30)
    gate = Gate()
    async with shop.engine({(ORG, CRM): Scripted(answers=[gate])}) as engine:
        await gate.reached.wait()
        gate.open()
        await engine.stop(grace=5)
        assert await shop.outcomes() == ["SYNCED"] * 10
        assert not await shop.rows("SELECT 1 FROM contact_syncs WHERE sync_status = 'PROCESSING'")


async def test_stopping_does_not_wait_for_a_crm_that_hangs(shop: Shop) -> None:
    """What was sent is unknown, and nothing stays behind under a lease."""
    await shop.stock(30)
    gate = Gate()
    async with shop.engine({(ORG, CRM): Scripted(traits(concurrency=2), [gate])}) as engine:
        await gate.reached.wait()
        await engine.stop(grace=0)
        assert {"UNKNOWN"} <= set(await shop.outcomes()) <= {"UNKNOWN", "POSTPONED"}
        assert not await shop.rows("SELECT 1 FROM contact_syncs WHERE retry_count > 0")
        assert not await shop.rows("SELECT 1 FROM contact_syncs WHERE sync_status = 'PROCESSING'")


async def test_what_a_dead_server_left_is_rescued_and_delivered(shop: Shop) -> None:
    """Once its lease is over; the attempt is in the history as lost."""
    ids, session_id = await shop.stock(3)
    async with shop.database.org(ORG) as connection:
        await queue.claim(connection, ORG, CRM, queue.Terms(3, timedelta(0), "dead"))
    bench = shop.bench
    rescue = Rescue(shop.database, bench.hints, bench.policy, timedelta(seconds=1), now, harmless)
    await rescue.turn()
    assert await shop.outcomes() == ["LEASE_EXPIRED"] * 3
    adapter = Scripted()

    async def ended() -> None:
        assert (await shop.session(session_id)).synced == len(ids)

    async with shop.engine({(ORG, CRM): adapter}):
        await eventually(ended)
    assert {one.attempt for batch in adapter.pushed for one in batch} == {2}


async def test_an_import_that_was_accepted_survives_a_restart(shop: Shop) -> None:
    """The next server settles it when its time has come."""
    _, session_id = await shop.stock(3)
    accepted = Accepted("import-1", now() + timedelta(hours=1))
    first = Scripted(answers=[answering(lambda _: accepted)])

    async def held() -> None:
        assert await shop.rows("SELECT 1 FROM tickets")

    async def ended() -> None:
        assert (await shop.session(session_id)).synced == 3

    async with shop.engine({(ORG, CRM): first}):
        await eventually(held)
    second = Scripted()
    await shop.make_due()
    async with shop.engine({(ORG, CRM): second}):
        await eventually(ended)
    assert (len(second.pushed), [ticket for ticket, _ in second.settled]) == (0, ["import-1"])


async def test_work_that_is_not_hinted_at_is_found_by_the_poll(shop: Shop) -> None:
    """Hints may be lost; the table is the truth."""
    async with shop.engine({(ORG, CRM): Scripted()}):
        _, session_id = await shop.stock(1)

        async def ended() -> None:
            assert (await shop.session(session_id)).synced == 1

        await eventually(ended)


async def test_a_retry_is_made_when_its_time_has_come(shop: Shop) -> None:
    """Without a poll or a hint in between."""
    [contact_id], _ = await shop.stock(1)
    async with shop.database.everyone() as connection:
        await people.enqueue(connection, [contact_id], people.order())
    await shop.rows("UPDATE contact_syncs SET due_time = now() + interval '300 ms'")
    adapter = Scripted()
    async with shop.engine({(ORG, CRM): adapter}):
        await eventually(lambda: assert_delivered(adapter, 1))


def assert_delivered(adapter: Scripted, count: int) -> None:
    """Check how many deliveries an adapter had."""
    assert sum(len(batch) for batch in adapter.pushed) == count


def assert_in(wanted: str, found: Sequence[str]) -> None:
    """Check that it was found."""
    assert wanted in found
