"""What a delivery adds to the statistics: each call once, with the attempts that it ended."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.outcomes import Accepted, Outcome, Rejected, Retry
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.sync.stopwatch import Stopwatch, running
from tests.store.people import CRM, ORG
from tests.sync.adapters import Gate, Scripted, all_synced, answering, traits
from tests.sync.bench import Shop, now


@pytest.fixture
def shop(database: Database) -> Shop:
    """A lane's surroundings."""
    return Shop(database)


async def hour(shop: Shop) -> sa.Row[Any]:
    """Return what is kept of the calls, all hours and slots together."""
    async with shop.database.everyone() as connection:
        assert not await violations(connection)
    [row] = await shop.rows(
        "SELECT coalesce(sum(calls), 0) AS calls, coalesce(sum(call_records), 0) AS records,"
        " coalesce(sum(call_seconds), 0) AS seconds FROM sync_hours"
    )
    return row


async def codes(shop: Shop) -> dict[str, tuple[int, int]]:
    """Return how many attempts and errors each code has."""
    rows = await shop.rows(
        "SELECT code, sum(attempts) AS attempts, sum(errors) AS errors FROM error_hours"
        " GROUP BY code"
    )
    return {row.code: (row.attempts, row.errors) for row in rows}


async def test_each_call_is_counted_with_the_attempts_that_it_ended(shop: Shop) -> None:
    """What is skipped without a call is in none of them; what fails is, with its code."""
    ids, _ = await shop.stock(25)
    await shop.rows("UPDATE contacts SET email = NULL WHERE id = :id", id=ids[0])
    refused = answering(lambda _: Rejected("BAD", "no"))
    lane = shop.lane(Scripted(answers=[refused, all_synced]))
    while await lane.deliver():
        continue
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (3, 24)
    assert counted.seconds > 0
    [skipped] = await shop.rows("SELECT count(*) AS n FROM sync_attempts WHERE outcome = 'SKIPPED'")
    refusals = sum(outcome == "REJECTED" for outcome in await shop.outcomes())
    assert skipped.n == 1
    assert await codes(shop) == {"BAD": (refusals, refusals)}


async def test_what_is_tried_again_counts_as_an_attempt_and_not_as_an_error(shop: Shop) -> None:
    """Until it is given up."""
    shop.policy = shop.policy.drawn(1)
    await shop.stock(2)
    busy = answering(lambda _: Retry("HTTP_503", "later", None))
    lane = shop.lane(Scripted(answers=[busy]))
    assert await lane.deliver() == 2
    assert await codes(shop) == {"HTTP_503": (2, 0)}
    await shop.make_due()
    assert await lane.deliver() == 2
    assert await codes(shop) == {"HTTP_503": (4, 2)}
    assert (await hour(shop)).records == 4


async def test_a_call_that_was_accepted_for_later_is_counted_with_the_next_one(shop: Shop) -> None:
    """Its records are counted once, when they are settled."""
    await shop.stock(3)
    accepted = Accepted("import-1", now())
    lane = shop.lane(Scripted(answers=[answering(lambda _: accepted)]))
    await lane.deliver()
    assert (await hour(shop)).calls == 0
    await shop.make_due()
    assert await lane.settle() == 3
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (2, 3)


async def test_what_is_read_back_is_an_answer_too(shop: Shop) -> None:
    """For those that the CRM has; the others are pushed by another call."""
    ids, _ = await shop.stock(2)
    lane = shop.lane(Scripted(traits(read_back=True), holds={ids[0]: "crm-1"}))
    await shop.rows("UPDATE contact_syncs SET error_code = 'UNKNOWN_OUTCOME'")
    assert await lane.deliver() == 2
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (2, 2)


async def test_refused_credentials_are_an_answer_that_ends_no_attempt(shop: Shop) -> None:
    """The attempts are given back."""

    async def refused(_batch: Sequence[Delivery]) -> Sequence[Outcome]:
        message = "who are you"
        raise CredentialsRefusedError(message)

    await shop.stock(2)
    await shop.lane(Scripted(answers=[refused])).deliver()
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (1, 0)
    assert await codes(shop) == {"CREDENTIALS_REFUSED": (2, 0)}


async def test_a_lost_lease_takes_the_records_of_a_call_along(shop: Shop) -> None:
    """They count with the attempt that ends them; the invariants would tell."""
    ids, _ = await shop.stock(2)
    gate = Gate()
    adapter = Scripted(answers=[gate])
    lane = shop.lane(adapter)
    batch = await lane.claim()
    assert batch is not None
    gate.open()
    await shop.rows(
        "UPDATE contact_syncs SET attempt = attempt + 1 WHERE contact_id = :id", id=ids[0]
    )
    await shop.rows(
        "INSERT INTO sync_attempts (org_id, contact_id, crm, attempt, start_time, outcome,"
        " contact_version) VALUES (:org, :id, :crm, 1, now(), 'RELEASED', 1)",
        org=ORG,
        crm=CRM,
        id=ids[0],
    )
    await shop.rows(
        "INSERT INTO sync_hours (org_id, crm, hour, slot, released)"
        " VALUES (:org, :crm, date_trunc('hour', now(), 'UTC'), 99, 1)",
        org=ORG,
        crm=CRM,
    )
    await lane.end(batch)
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (1, 1)


async def test_a_write_that_is_repeated_counts_nothing_twice(shop: Shop) -> None:
    """As when the answer to a commit was lost."""
    await shop.stock(3)
    lane = shop.lane(Scripted())
    written = lane._write_once  # noqa: SLF001 - what a lost answer makes it do

    async def twice(*given: Any) -> None:  # noqa: ANN401 - passed on
        await written(*given)
        await written(*given)

    lane._write_once = twice  # type: ignore[assignment, method-assign]  # noqa: SLF001 - likewise
    assert await lane.deliver() == 3
    counted = await hour(shop)
    assert (counted.calls, counted.records) == (1, 3)


async def test_waiting_for_a_turn_is_no_response_time() -> None:
    """However many wait at once; whoever looks meanwhile sees the watch stand still."""
    watch = Stopwatch()
    assert running.get() is None
    with watch.paused():
        before = watch.seconds
        with watch.paused():
            pass
        assert watch.seconds == before
    assert watch.seconds >= before
