"""A lane whose CRM does not work: closed while it does not, probed, opened again."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery, Standing
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Unknown,
)
from crmsync_server.store import lane as lanes
from crmsync_server.store import ticket as tickets
from crmsync_server.sync.lane import Lane
from crmsync_server.sync.push import Deliverer
from tests.eventually import eventually
from tests.store import people
from tests.store.people import CRM, ORG
from tests.sync.adapters import Gate, Scripted, all_synced, answering, traits
from tests.sync.bench import Shop, now

DOWN = answering(lambda _: Retry("HTTP_503", "down for maintenance"))
REFUSAL = Standing(valid=False, message="the token has expired")
SILENCE = Standing(valid=False, message="no answer", reachable=False)
WELL = Standing(valid=True, message="well")


async def refuse(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
    """Refuse the credentials."""
    message = "the token has expired"
    raise CredentialsRefusedError(message)


async def lane_row(shop: Shop) -> sa.Row[tuple[object, ...]]:
    """Return how the lane stands, with its pause in seconds."""
    [row] = await shop.rows("SELECT *, extract(EPOCH FROM paused_until - now()) AS s FROM lanes")
    return row


async def test_faults_in_a_row_close_the_lane_and_nothing_more_is_tried(shop: Shop) -> None:
    """What waits burns no retries."""
    await shop.stock(9)
    adapter = Scripted(traits(max_batch=2), answers=[DOWN])
    lane = shop.lane(adapter)
    assert [await lane.deliver() for _ in range(5)] == [2, 2, 2, 0, 0]
    row = await lane_row(shop)
    assert (row.pause_code, row.probing, row.trips) == ("CIRCUIT_OPEN", True, 1)
    await shop.make_due()
    assert await lane.deliver() == 0
    assert len(adapter.pushed) == 3


@pytest.mark.parametrize("well", [Rejected("INVALID", "a bad email"), Retry("LOCKED", "a lock")])
async def test_what_answers_record_by_record_is_not_down(shop: Shop, well: Outcome) -> None:
    """A batch that met anything but faults proves that the CRM works."""
    ids, _ = await shop.stock(8)
    mixed = answering(lambda one: Rejected("INVALID", "bad") if one.contact_id == ids[0] else well)
    lane = shop.lane(Scripted(traits(max_batch=8), answers=[mixed]))
    for _ in range(4):
        await lane.deliver()
        await shop.enqueue(ids, people.order(force=True))
    assert not await shop.rows("SELECT 1 FROM lanes WHERE probing")


async def test_a_probe_opens_the_lane_and_the_next_fault_closes_it_for_longer(shop: Shop) -> None:
    """Until something is delivered, which makes it forget."""
    await shop.stock(12)
    answers = [DOWN, DOWN, DOWN, DOWN, all_synced, DOWN]
    adapter = Scripted(traits(max_batch=1), answers=answers, standings=[WELL])
    lane = shop.lane(adapter)
    for _ in range(3):
        await lane.deliver()
    await shop.make_due()
    assert await lane.probe()
    assert await lane.deliver() == 1
    row = await lane_row(shop)
    assert (row.trips, row.probing) == (2, True)
    assert 5 < row.s <= 10
    await shop.make_due()
    assert await lane.probe()
    assert await lane.deliver() == 1
    row = await lane_row(shop)
    assert (row.trips, row.probing, row.paused_until) == (0, False, None)
    assert adapter.checks == 2


async def test_a_probe_that_finds_nothing_well_waits_twice_as_long(shop: Shop) -> None:
    """And says what it found."""
    await shop.stock(1)
    adapter = Scripted(answers=[refuse], standings=[REFUSAL, SILENCE])
    lane = shop.lane(adapter)
    await lane.deliver()
    assert 50 < (await lane_row(shop)).s <= 60
    await shop.make_due()
    assert not await lane.probe()
    row = await lane_row(shop)
    assert (row.pause_code, row.pause_message, row.trips) == (
        "CREDENTIALS_REFUSED",
        "the token has expired",
        2,
    )
    assert 110 < row.s <= 120
    await shop.make_due()
    assert not await lane.probe()
    assert (await lane_row(shop)).pause_code == "CIRCUIT_OPEN"
    assert len(adapter.pushed) == 1


async def test_refused_credentials_keep_all_work_and_resume_when_they_are_good(shop: Shop) -> None:
    """Nothing is in error, nothing burnt a retry."""
    ids, session_id = await shop.stock(30)
    adapter = Scripted(answers=[refuse, all_synced], standings=[WELL])
    lane = shop.lane(adapter)
    assert [await lane.deliver(), await lane.deliver()] == [10, 0]
    async with shop.database.org(ORG) as connection:
        assert await lanes.resume(connection, ORG, CRM, codes=["CREDENTIALS_REFUSED"])
    await shop.make_due()
    assert [await lane.deliver() for _ in range(3)] == [10, 10, 10]
    assert (await shop.session(session_id)).synced == len(ids)
    assert await shop.rows("SELECT 1 FROM sync_attempts WHERE outcome = 'RELEASED'") != ()
    assert not await shop.rows("SELECT 1 FROM contact_syncs WHERE retry_count > 0")


async def test_one_server_probes_at_a_time(shop: Shop) -> None:
    """However many see that it is due."""
    await shop.stock(1)
    adapters = [Scripted(answers=[refuse], standings=[REFUSAL]) for _ in range(5)]
    servers = [shop.lane(adapter) for adapter in adapters]
    await servers[0].deliver()
    await shop.make_due()
    await asyncio.gather(*(server.probe() for server in servers))
    assert sum(adapter.checks for adapter in adapters) == 1


async def test_a_probe_ends_no_pause_by_hand(shop: Shop) -> None:
    """Whoever paused a lane resumes it."""
    await shop.stock(1)
    lane = shop.lane(Scripted(answers=[refuse], standings=[WELL]))
    await lane.deliver()
    await shop.rows("UPDATE lanes SET paused_until = 'infinity', pause_code = 'PAUSED'")
    assert not await lane.probe()
    assert (await lane_row(shop)).pause_code == "PAUSED"
    assert await lane.deliver() == 0


async def test_an_engine_opens_a_lane_by_itself(shop: Shop) -> None:
    """Once its CRM is well again."""
    _, session_id = await shop.stock(3)
    adapter = Scripted(answers=[refuse, all_synced], standings=[REFUSAL, WELL])

    async def done() -> None:
        await shop.make_due()
        assert (await shop.session(session_id)).synced == 3

    async with shop.engine({(ORG, CRM): adapter}):
        await eventually(done)
    assert adapter.checks == 2
    assert len(adapter.pushed) == 2


async def test_what_may_have_been_applied_is_asked_after_before_it_is_sent_again(
    shop: Shop,
) -> None:
    """What the CRM holds already is not sent."""
    ids, session_id = await shop.stock(2)
    unknown = answering(lambda _: Unknown("no answer"))
    adapter = Scripted(traits(read_back=True), answers=[unknown, all_synced])
    lane = shop.lane(adapter)
    await lane.deliver()
    adapter.holds[ids[0]] = "crm-7"
    await shop.make_due()
    assert await lane.deliver() == 2
    assert [one.contact_id for one in adapter.pushed[1]] == [ids[1]]
    assert (await shop.standing(ids[0])).crm_contact_id == "crm-7"
    assert (await shop.session(session_id)).synced == 2


async def test_a_crm_that_hangs_for_one_organization_holds_up_no_other(shop: Shop) -> None:
    """Though they share the CRM, and there are many of the first kind."""
    hanging = [f"hangs-{number}" for number in range(40)]

    async def hang(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
        await asyncio.Event().wait()
        return []

    adapters = {
        (org, CRM): Scripted(traits(push_timeout=timedelta(minutes=1)), answers=[hang])
        for org in hanging
    }
    for org in hanging:
        await shop.stock(1, org)

    def all_hang() -> None:
        assert all(one.pushed for one in adapters.values())

    async def delivered() -> None:
        assert (await shop.session(session_id)).synced == 1

    async with shop.engine(adapters | {(ORG, CRM): Scripted()}):
        await eventually(all_hang)
        _, session_id = await shop.stock(1)
        await eventually(delivered)


async def test_what_an_old_probe_found_does_not_close_a_lane_that_was_set_going(shop: Shop) -> None:
    """Its credentials were replaced while the CRM was asked about the old ones."""
    await shop.stock(1)

    class Slow(Scripted):
        async def check(self) -> Standing:
            async with shop.database.org(ORG) as connection:
                assert await lanes.resume(connection, ORG, CRM, codes=["CREDENTIALS_REFUSED"])
            return await super().check()

    lane = shop.lane(Slow(answers=[refuse], standings=[REFUSAL]))
    await lane.deliver()
    await shop.make_due()
    assert not await lane.probe()
    row = await lane_row(shop)
    assert (row.paused_until, row.probing, row.trips) == (None, False, 0)


async def test_credentials_that_were_replaced_meanwhile_close_no_lane(shop: Shop) -> None:
    """The refusal of the old ones was still on its way."""
    await shop.stock(1)
    gate = Gate(refuse)
    lane = shop.lane(Scripted(answers=[gate]))
    delivery = asyncio.create_task(lane.deliver())
    await gate.reached.wait()
    lane.deliverer = Deliverer(Scripted())
    gate.open()
    await delivery
    assert not await shop.rows("SELECT 1 FROM lanes WHERE probing")
    await shop.make_due()
    assert await lane.deliver() == 1
    assert await shop.outcomes() == ["RELEASED", "SYNCED"]


async def test_a_probe_ends_no_longer_pause_that_the_crm_asked_for_meanwhile(shop: Shop) -> None:
    """The credentials are good again, and today's allowance is still used up."""
    await shop.stock(1)

    class Busy(Scripted):
        async def check(self) -> Standing:
            async with shop.database.org(ORG) as connection:
                until = now() + timedelta(hours=1)
                await lanes.pause(connection, ORG, CRM, until=until, code="DAILY", message="")
            return await super().check()

    lane = shop.lane(Busy(answers=[refuse], standings=[WELL]))
    await lane.deliver()
    await shop.make_due()
    await lane.probe()
    row = await lane_row(shop)
    assert (row.probing, row.s is not None and row.s > 3000) == (False, True)
    assert await lane.deliver() == 0
    await shop.make_due()
    assert await lane.deliver() == 1


async def test_a_server_that_stops_blames_no_crm(shop: Shop) -> None:
    """Neither for the answers that it did not wait for, nor for its probe."""
    await shop.stock(3)
    gate = Gate()

    class Waiting(Scripted):
        async def check(self) -> Standing:
            await gate([])
            return WELL

    lane = shop.lane(Waiting(traits(max_batch=1), answers=[gate]))
    batches = [await lane.claim() for _ in range(3)]
    ends = [asyncio.create_task(lane.end(batch)) for batch in batches if batch]
    await eventually(lambda: assert_under_way(lane, 3))
    lane.give_up()
    await asyncio.gather(*ends)
    assert not await shop.rows("SELECT 1 FROM lanes WHERE probing")
    lane = shop.lane(Waiting(answers=[refuse]))
    await shop.make_due()
    await lane.deliver()
    await shop.make_due()
    probe = asyncio.create_task(lane.probe())
    await eventually(lambda: assert_under_way(lane, 1))
    lane.give_up()
    assert not await probe
    row = await lane_row(shop)
    assert (row.pause_code, row.trips) == ("CREDENTIALS_REFUSED", 1)
    assert row.s <= 45


def assert_under_way(lane: Lane, count: int) -> None:
    """Check how many calls wait for the CRM."""
    assert lane.calls_under_way == count


ODD = "it \0 said \ud800"


async def test_a_crm_whose_words_cannot_be_kept_closes_its_lane_all_the_same(shop: Shop) -> None:
    """And opens it again."""
    await shop.stock(1)

    async def oddly(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
        raise CredentialsRefusedError(ODD)

    standings = [Standing(valid=False, message=ODD), Standing(valid=True, message=ODD)]
    adapter = Scripted(answers=[oddly, all_synced], standings=standings)
    lane = shop.lane(adapter)
    async with asyncio.timeout(5):
        await lane.deliver()
        assert (await lane_row(shop)).pause_message == "it  said ?"
        await shop.make_due()
        assert not await lane.probe()
        await shop.make_due()
        assert await lane.probe()
    assert await shop.outcomes() == ["RELEASED"]


async def test_a_pause_whose_words_cannot_be_kept_is_a_pause(shop: Shop) -> None:
    """And the outcomes that came with it are written down at once."""
    await shop.stock(1)
    busy = answering(lambda _: Postponed(now() + timedelta(hours=1), ODD, ODD))
    lane = shop.lane(Scripted(answers=[busy]))
    async with asyncio.timeout(5):
        await lane.deliver()
    assert (await lane_row(shop)).s > 3000
    assert await shop.outcomes() == ["POSTPONED"]


async def test_tickets_of_a_lane_paused_by_hand_wait_a_day_at_most(shop: Shop) -> None:
    """Postgres before 17 cannot tell how long it is until the end of time."""
    await shop.stock(1)
    accepted = Accepted("import-1", now())
    lane = shop.lane(Scripted(answers=[answering(lambda _: accepted)]))
    await lane.deliver()
    await shop.rows("INSERT INTO lanes (org_id, crm) VALUES (:org, :crm)", org=ORG, crm=CRM)
    await shop.rows("UPDATE lanes SET paused_until = 'infinity', pause_code = 'PAUSED'")
    async with shop.database.everyone() as connection:
        [row] = await tickets.due_lanes(connection)
    assert row.wait_seconds == 24 * 60 * 60
    await shop.rows("UPDATE lanes SET paused_until = NULL")
    await shop.make_due()
    await lane.settle()
