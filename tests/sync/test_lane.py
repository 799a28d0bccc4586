"""A lane: what each answer of a CRM does to the records of a batch, and to the lane."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Synced,
    Unknown,
)
from crmsync_server.store import contact, queue
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.verdict import RetryPolicy
from tests.store import people
from tests.store.people import ORG
from tests.sync.adapters import Answer, Gate, Scripted, all_synced, answering, traits
from tests.sync.bench import Shop, now

HOUR = timedelta(hours=1)


async def test_a_rejected_record_does_not_sink_its_batch(shop: Shop) -> None:
    """It ends as an error with the CRM's words; the others are complete."""
    ids, session_id = await shop.stock(3)

    def judge(delivery: Delivery) -> Outcome:
        if delivery.contact_id == ids[1]:
            return Rejected("VALIDATION_ERROR", "no such country", "request-7")
        return Synced("1")

    assert await shop.lane(Scripted(answers=[answering(judge)])).deliver() == 3
    session = await shop.session(session_id)
    assert (session.state, session.synced, session.errors) == ("SUCCEEDED", 2, 1)
    row = await shop.standing(ids[1])
    assert (row.sync_status, row.error_code, row.error_message, row.error_request_id) == (
        "ERROR",
        "VALIDATION_ERROR",
        "no such country",
        "request-7",
    )


async def test_a_postponed_lane_is_paused_and_burns_no_retry(shop: Shop) -> None:
    """Nothing of the lane is claimed before the time that the CRM gave."""
    ids, _ = await shop.stock(20)
    adapter = Scripted(answers=[answering(lambda _: Postponed(now() + HOUR, "DAILY"))])
    lane = shop.lane(adapter)
    assert [await lane.deliver() for _ in range(3)] == [10, 0, 0]
    row = await shop.standing(adapter.pushed[0][0].contact_id)
    assert (row.sync_status, row.retry_count) == ("QUEUED", 0)
    assert len(await shop.outcomes()) == 10
    await shop.make_due()
    adapter.answers[:] = [all_synced]
    assert [await lane.deliver() for _ in range(3)] == [10, 10, 0]
    assert {(await shop.standing(one)).sync_status for one in ids} == {"COMPLETE"}


async def test_a_record_postponed_by_itself_leaves_the_lane_open(shop: Shop) -> None:
    """The others go on."""
    await shop.stock(2)
    until = now() + HOUR
    adapter = Scripted(
        capabilities=traits(max_batch=1),
        answers=[answering(lambda _: Postponed(until, "LOCKED", lane=False)), all_synced],
    )
    lane = shop.lane(adapter)
    assert [await lane.deliver() for _ in range(3)] == [1, 1, 0]
    assert await shop.outcomes() == ["POSTPONED", "SYNCED"]


async def test_retries_are_counted_and_the_last_one_ends_as_an_error(shop: Shop) -> None:
    """With what the CRM said last."""
    [contact_id], session_id = await shop.stock()
    shop.policy = RetryPolicy(max_retries=2, jitter=lambda: 1.0)
    lane = shop.lane(Scripted(answers=[answering(lambda _: Retry("HTTP_503", "away"))]))
    for failures, wait in ((1, 2), (2, 4)):
        before = now()
        assert await lane.deliver() == 1
        row = await shop.standing(contact_id)
        assert (row.sync_status, row.retry_count) == ("QUEUED", failures)
        assert row.due_time == row.next_retry_time >= before + timedelta(seconds=wait)
        assert await lane.deliver() == 0
        await shop.make_due()
    assert await lane.deliver() == 1
    row = await shop.standing(contact_id)
    assert (row.sync_status, row.error_code) == ("ERROR", "HTTP_503")
    assert (await shop.session(session_id)).errors == 1


async def test_a_retry_waits_as_long_as_the_crm_wishes(shop: Shop) -> None:
    """Even when its own wait would be shorter."""
    [contact_id], _ = await shop.stock()
    after = now() + HOUR
    await shop.lane(Scripted(answers=[answering(lambda _: Retry("X", "", after=after))])).deliver()
    # Kept by the database's clock.
    assert abs((await shop.standing(contact_id)).due_time - after) < timedelta(seconds=1)


@pytest.mark.parametrize(("idempotent", "status"), [(True, "QUEUED"), (False, "ERROR")])
async def test_the_unknown_is_repeated_only_where_that_does_no_harm(
    shop: Shop, status: str, *, idempotent: bool
) -> None:
    """Elsewhere it is told as an error of its own."""
    [contact_id], _ = await shop.stock()
    adapter = Scripted(traits(idempotent=idempotent), [answering(lambda _: Unknown("no answer"))])
    await shop.lane(adapter).deliver()
    row = await shop.standing(contact_id)
    assert (row.sync_status, row.error_code) == (status, "UNKNOWN_OUTCOME")


async def _fails(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
    message = "a bug"
    raise ZeroDivisionError(message)


async def _loses_one(batch: Sequence[Delivery]) -> Sequence[Outcome]:
    return [Synced("1") for _ in batch[1:]]


@pytest.mark.parametrize("answer", [_fails, _loses_one])
async def test_what_an_adapter_does_not_account_for_is_unknown(shop: Shop, answer: Answer) -> None:
    """An outcome too few may be any record's."""
    await shop.stock(3)
    assert await shop.lane(Scripted(answers=[answer])).deliver() == 3
    assert await shop.outcomes() == ["UNKNOWN"] * 3


async def test_a_crm_that_hangs_is_left_after_its_timeout(shop: Shop) -> None:
    """What was sent is unknown."""
    await shop.stock(2)
    hanging = Scripted(traits(push_timeout=timedelta(milliseconds=50)), [Gate()])
    assert await shop.lane(hanging).deliver() == 2
    assert await shop.outcomes() == ["UNKNOWN"] * 2


async def test_refused_credentials_pause_the_lane_and_burn_nothing(shop: Shop) -> None:
    """Ten thousand records must not fail for one wrong token."""

    async def refuse(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
        message = "the token has expired"
        raise CredentialsRefusedError(message)

    ids, _ = await shop.stock(12)
    adapter = Scripted(answers=[refuse])
    lane = shop.lane(adapter)
    assert [await lane.deliver(), await lane.deliver()] == [10, 0]
    row = await shop.standing(ids[0])
    assert (row.sync_status, row.retry_count, row.rescue_count) == ("QUEUED", 0, 0)
    [paused] = await shop.rows("SELECT * FROM lanes WHERE paused_until > now()")
    assert (paused.pause_code, paused.pause_message) == (
        "CREDENTIALS_REFUSED",
        "the token has expired",
    )


async def test_a_lane_without_quota_still_delivers_what_is_urgent(shop: Shop) -> None:
    """A share of the quota is kept for it; any other pause holds for all."""
    until = now() + timedelta(hours=1)
    used_up = answering(lambda _: Postponed(until, "QUOTA_EXHAUSTED", "the day is used up"))
    adapter = Scripted(traits(max_batch=1), answers=[used_up, all_synced])
    await shop.stock(2)
    lane = shop.lane(adapter)
    assert [await lane.deliver(), await lane.deliver()] == [1, 0]
    [urgent] = await people.populate(shop.database, 1)
    await shop.enqueue([urgent], people.order(high=True))
    async with shop.database.everyone() as connection:
        [row] = await queue.due_lanes(connection)
    assert (row.wait_seconds, row.urgent) == (0, True)
    assert [await lane.deliver(), await lane.deliver()] == [1, 0]
    assert [one.contact_id for one in adapter.pushed[-1]] == [urgent]
    await shop.enqueue([urgent], people.order(high=True, force=True))
    await shop.rows("UPDATE lanes SET pause_code = 'RATE_LIMIT'")
    assert await lane.deliver() == 0
    async with shop.database.everyone() as connection:
        [row] = await queue.due_lanes(connection)
    assert row.wait_seconds > 3000


async def test_unchanged_content_is_skipped_without_a_call_unless_forced(shop: Shop) -> None:
    """The CRM holds it already."""
    ids, _ = await shop.stock(2)
    adapter = Scripted()
    lane = shop.lane(adapter)
    await lane.deliver()
    await shop.enqueue(ids, people.order())
    await lane.deliver()
    assert len(adapter.pushed) == 1
    row = await shop.standing(ids[0])
    assert (row.sync_status, row.skip_reason) == ("SKIPPED", "UNCHANGED")
    await shop.enqueue(ids, people.order(force=True))
    await lane.deliver()
    assert len(adapter.pushed) == 2
    assert (await shop.standing(ids[0])).sync_status == "COMPLETE"


async def test_after_an_unknown_outcome_old_content_is_not_unchanged(shop: Shop) -> None:
    """The CRM may hold the content in between: taking an edit back is a change to it."""
    [contact_id], _ = await shop.stock()
    shop.policy = RetryPolicy(max_retries=0)
    adapter = Scripted(answers=[all_synced, answering(lambda _: Unknown("cut off")), all_synced])
    lane = shop.lane(adapter)
    await lane.deliver()
    for text in ("b", "a"):
        await shop.edit(contact_id, text)
        await shop.enqueue([contact_id], people.order())
        await lane.deliver()
    assert [batch[0].first_name for batch in adapter.pushed] == ["a", "b", "a"]


async def test_deleted_contacts_and_those_without_email_are_not_sent(shop: Shop) -> None:
    """The rest of their batch is."""
    ids, session_id = await shop.stock(2)
    async with shop.database.org(ORG) as connection:
        await contact.delete(connection, ORG, ids[0])
        nameless = await people.create(connection, ORG, "a", email=False)
    await shop.enqueue([nameless], people.order())
    adapter = Scripted()
    assert await shop.lane(adapter).deliver() == 3
    assert [one.contact_id for one in adapter.pushed[0]] == [ids[1]]
    assert (await shop.standing(ids[0])).skip_reason == "CONTACT_DELETED"
    assert (await shop.standing(nameless)).skip_reason == "NO_EMAIL"
    assert (await shop.session(session_id)).skipped == 1


async def test_a_contact_edited_while_it_is_delivered_is_delivered_again(shop: Shop) -> None:
    """With the new content."""
    [contact_id], _ = await shop.stock()

    async def edit_first(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        await shop.edit(contact_id, "b")
        return await all_synced(batch)

    adapter = Scripted(answers=[edit_first, all_synced])
    lane = shop.lane(adapter)
    assert [await lane.deliver() for _ in range(3)] == [1, 1, 0]
    assert [batch[0].first_name for batch in adapter.pushed] == ["a", "b"]
    assert adapter.pushed[1][0].crm_contact_id == f"crm-{contact_id}"


async def test_a_contact_queued_again_while_it_is_delivered_counts_in_both_sessions(
    shop: Shop,
) -> None:
    """The second one waits for an attempt of its own."""
    ids, first = await shop.stock()
    second = []

    async def queue_again(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        second.append(await shop.enqueue(ids, people.order()))
        return await all_synced(batch)

    lane = shop.lane(Scripted(answers=[queue_again, all_synced]))
    await lane.deliver()
    assert (await shop.session(first)).synced == 1
    assert (await shop.session(second[0])).state == "RUNNING"
    await lane.deliver()
    assert (await shop.session(second[0])).skipped == 1


async def test_high_priority_goes_first(shop: Shop) -> None:
    """Whatever waited before it."""
    await shop.stock(5)
    [urgent] = await people.populate(shop.database, 1)
    await shop.enqueue([urgent], people.order(high=True))
    adapter = Scripted(traits(max_batch=1))
    await shop.lane(adapter).deliver()
    assert adapter.pushed[0][0].contact_id == urgent


async def test_accepted_records_are_held_until_they_are_settled(shop: Shop) -> None:
    """By whichever server asks, also after the one that pushed them is gone."""
    ids, session_id = await shop.stock(3)
    accepted = Accepted("import-1", now())
    await shop.lane(Scripted(answers=[answering(lambda _: accepted)])).deliver()
    assert (await shop.session(session_id)).state == "RUNNING"

    later = Accepted("import-1", now() + HOUR)
    restarted = Scripted(settlements=[answering(lambda _: later), all_synced])
    lane = shop.lane(restarted)
    for _ in range(2):
        await shop.make_due()
        assert [await lane.settle(), await lane.settle()] == [3, 0]
    assert {one.contact_id for one in restarted.settled[1][1]} == set(ids)
    assert (await shop.session(session_id)).synced == 3
    assert not await shop.rows("SELECT 1 FROM tickets")


async def test_text_that_postgres_cannot_keep_does_not_sink_the_batch(shop: Shop) -> None:
    """A CRM may quote anything; what cannot be stored is replaced."""
    ids, session_id = await shop.stock(2)

    def judge(delivery: Delivery) -> Outcome:
        if delivery.contact_id == ids[0]:
            return Rejected("BAD\0", "a lone \ud800 surrogate and a \0")
        return Synced("1\0")

    assert await shop.lane(Scripted(answers=[answering(judge)])).deliver() == 2
    assert (await shop.session(session_id)).state == "SUCCEEDED"


class Faulty:
    """A transform with a fault that few values bring to light."""

    def apply(self, value: str) -> str:
        """Fail on one value."""
        return {"a": "well"}[value]

    def spelled(self) -> Sequence[str]:
        """Return its name."""
        return ("FAULTY",)


async def test_a_contact_that_brings_a_fault_to_light_fails_alone(shop: Shop) -> None:
    """Whatever the mapping raises, the others are delivered."""
    ids, session_id = await shop.stock(3)
    await shop.edit(ids[1], "poison")
    rule = Rule("first_name", "first_name", transforms=(Faulty(),))
    adapter = Scripted()
    lane = shop.lane(adapter)
    lane.deliverer = Deliverer(adapter, LaneConfig(mapping=FieldMapping((rule,))))
    assert await lane.deliver() == 3
    assert [one.first_name for one in adapter.pushed[0]] == ["well"] * 2
    row = await shop.session(session_id)
    assert (row.synced, row.errors) == (2, 1)
    assert (await shop.standing(ids[1])).error_code == "MAPPING_FAILED"


async def test_a_ticket_that_cannot_be_kept_is_an_unknown_outcome(shop: Shop) -> None:
    """Nothing could ever be asked about it; the rest of the batch is written down."""
    ids, _ = await shop.stock(2)
    odd = Accepted("import \0", now() + HOUR)
    one_by_one = answering(lambda one: odd if one.contact_id == ids[0] else Synced("1"))
    async with asyncio.timeout(5):
        await shop.lane(Scripted(answers=[one_by_one])).deliver()
    assert await shop.outcomes() == ["UNKNOWN", "SYNCED"]


async def test_a_crm_is_not_asked_about_a_ticket_without_pause(shop: Shop) -> None:
    """Though it is to be asked at once, each time again."""
    await shop.stock(1)
    at_once = answering(lambda _: Accepted("import-1", now()))
    adapter = Scripted(answers=[at_once], settlements=[at_once, all_synced])
    lane = shop.lane(adapter)
    await lane.deliver()
    assert await lane.settle() == 0
    await shop.make_due()
    assert [await lane.settle(), await lane.settle()] == [1, 0]
    await shop.make_due()
    assert await lane.settle() == 1
    assert len(adapter.settled) == 2


async def test_a_delivery_that_is_cut_off_is_written_down_as_unknown(shop: Shop) -> None:
    """Its records do not wait for their lease."""
    await shop.stock(2)
    gate = Gate()
    lane = shop.lane(Scripted(answers=[gate]))
    delivery = asyncio.create_task(lane.deliver())
    await gate.reached.wait()
    lane.give_up()
    assert await delivery == 2
    assert await shop.outcomes() == ["UNKNOWN"] * 2


async def test_sessions_are_hinted_at_after_the_commit(shop: Shop) -> None:
    """Whoever reads on the hint finds what it is about."""
    _, session_id = await shop.stock()
    reading: list[asyncio.Task[Any]] = []

    class ReadAtOnce(list[str | None]):
        def append(self, hint: str | None) -> None:
            assert hint == f"{ORG}/{session_id}"
            reading.append(asyncio.create_task(shop.session(session_id)))

    shop.hinted = ReadAtOnce()
    await shop.lane(Scripted()).deliver()
    [row] = await asyncio.gather(*reading)
    assert row.synced == 1
