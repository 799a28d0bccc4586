"""Deliveries that nobody answered: whether they were applied or not, later edits here hold."""

from datetime import timedelta

import pytest

from crmsync_server.crm.outcomes import Unknown
from crmsync_server.crm.source import Record
from crmsync_server.store.merging import MergePolicy, Merging
from crmsync_server.store.notify import Notifier
from crmsync_server.store.states import Direction
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.rescue import Rescue
from crmsync_server.sync.verdict import RetryPolicy
from tests.store import people
from tests.store.records import ada, later
from tests.sync.adapters import answering
from tests.sync.bench import now
from tests.sync.test_two_ways import Pair, pair

__all__ = ["pair"]

CRM_WINS = Merging(policy=MergePolicy.CRM_WINS)
OURS_WINS = Merging(policy=MergePolicy.OURS_WINS)
PLACES = {"before": "Engines", "told": "Looms"}


async def unanswered(pair: Pair, **fields: object) -> None:
    """Edit the one contact, and deliver that without an answer."""
    await pair.reading.edit((await pair.reading.contact()).id, **fields)
    pair.adapter.answers.insert(0, answering(lambda _: Unknown("no answer")))
    await pair.deliver()


async def lost(pair: Pair) -> None:
    """Lose the server that claimed, and give back what it had."""
    await pair.shop.rows("UPDATE contact_syncs SET lease_until = now() - interval '1 second'")
    database = pair.shop.database
    hints = Hints(Notifier(database), lambda _: None, lambda _: None)
    await Rescue(database, hints, RetryPolicy(), timedelta(seconds=1), now, harmless).turn()
    assert (await pair.reading.standing()).sync_status == "QUEUED"


async def harmless(_org_id: str, _crm: str) -> bool:
    """Let everything be given again."""
    return True


@pytest.mark.parametrize("shown", PLACES.values(), ids=PLACES)
async def test_a_later_edit_is_not_undone_by_what_the_crm_has_from_us(
    pair: Pair, shown: str
) -> None:
    """Whether that is what the attempt told, or what it was to replace; no policy is asked."""
    pair.reading.merging = CRM_WINS
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.edit((await pair.reading.contact()).id, company="Mills")
    taken = await pair.reading.absorb(ada(company=shown, modified_time=later(2)))
    row = await pair.reading.contact()
    assert (row.company, taken.conflicts, taken.to_push) == ("Mills", 0, [row.id])
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert pair.told.company == "Mills"


async def test_what_the_crm_has_from_nobody_here_is_for_the_policy(pair: Pair) -> None:
    """Nobody knows which of the two it was a change of."""
    pair.reading.merging = Merging(policy=MergePolicy.MANUAL)
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    taken = await pair.reading.absorb(ada(company="Mills", modified_time=later(2)))
    assert taken.conflicts == 1


async def test_what_an_unanswered_delivery_did_not_tell_is_agreed_on_still(pair: Pair) -> None:
    """A change of the CRM's in it is one against that, and the next delivery leaves it alone."""
    pair.reading.merging = OURS_WINS
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.absorb(ada(first_name="Augusta", modified_time=later(2)))
    row = await pair.reading.contact()
    assert (row.first_name, row.company) == ("Augusta", "Looms")
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert (pair.told.first_name, pair.told.company) == ("", "Looms")


async def test_an_edit_after_a_first_delivery_that_nobody_answered_holds(pair: Pair) -> None:
    """The record that it made is found by its email."""
    pair.reading.merging = CRM_WINS
    await pair.reading.keep()
    pair.adapter.answers.insert(0, answering(lambda _: Unknown("no answer")))
    await pair.deliver()
    await pair.reading.edit((await pair.reading.contact()).id, company="Mills")
    taken = await pair.reading.absorb(ada("7"))
    row = await pair.reading.contact()
    assert (row.company, taken.to_push) == ("Mills", [row.id])
    assert (await pair.reading.base()).crm_contact_id == "7"


async def test_a_reading_that_shows_what_was_told_settles_it(pair: Pair) -> None:
    """Both agree, and the retry needs no call."""
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.absorb(ada(company="Looms", modified_time=later(2)))
    standing, row = await pair.reading.standing(), await pair.reading.contact()
    assert (standing.synced_hash, standing.unsettled) == (row.content_hash, None)
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert len(pair.adapter.pushed) == 1
    assert (await pair.reading.standing()).sync_status == "SKIPPED"


async def test_an_edit_that_was_taken_back_is_told_whatever_a_late_index_shows(pair: Pair) -> None:
    """The attempt may have been applied, and not be shown yet: then its value would stay."""
    pair.reading.merging = CRM_WINS
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.edit((await pair.reading.contact()).id, company="Engines")
    await pair.reading.absorb(ada(modified_time=later(2)))
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert pair.told.company == "Engines"
    taken = await pair.reading.absorb(ada(modified_time=later(3)))
    assert (taken.unchanged, taken.to_push) == (1, [])
    assert (await pair.reading.contact()).company == "Engines"


async def test_what_was_told_shows_late_after_a_reading_of_what_was_before(pair: Pair) -> None:
    """It is still ours, and the edit since holds."""
    pair.reading.merging, pair.reading.direction = CRM_WINS, Direction.PULL
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.edit((await pair.reading.contact()).id, company="Mills")
    for number, shown in enumerate(("Engines", "Looms"), 2):
        await pair.reading.absorb(ada(company=shown, modified_time=later(number)))
    assert (await pair.reading.contact()).company == "Mills"


async def test_what_an_unanswered_delivery_may_have_filled_is_cleared(pair: Pair) -> None:
    """Emptied here before anybody knew whether the CRM has it."""
    await pair.reading.absorb(ada())
    await unanswered(pair, properties={"plan": "gold"})
    await pair.reading.edit((await pair.reading.contact()).id, properties={})
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert pair.told.properties == {"plan": ""}
    assert pair.told.blank == {"plan"}


async def test_what_an_unanswered_delivery_was_to_clear_is_cleared_again(pair: Pair) -> None:
    """The CRM may still have it."""
    await pair.reading.absorb(ada(properties={"plan": "gold"}))
    await unanswered(pair, properties={})
    await pair.shop.make_due()
    await pair.lane().deliver()
    assert pair.told.properties == {"plan": ""}
    assert pair.told.blank == {"plan"}


async def test_after_a_server_was_lost_what_the_crm_had_before_is_no_change(pair: Pair) -> None:
    """What it had under way is not known, what both agreed on before is."""
    pair.reading.merging = CRM_WINS
    await pair.reading.absorb(ada())
    row = await pair.reading.contact()
    await pair.reading.edit(row.id, company="Looms")
    await pair.shop.enqueue([row.id], people.order())
    await pair.lane().claim()
    await lost(pair)
    await pair.reading.absorb(ada(modified_time=later(2)))
    assert (await pair.reading.contact()).company == "Looms"


async def test_what_was_told_to_a_record_that_was_merged_away_is_known_of_the_one_that_is_left(
    pair: Pair,
) -> None:
    """It got the values of both."""
    pair.reading.merging = CRM_WINS
    await pair.reading.absorb(ada())
    await unanswered(pair, company="Looms")
    await pair.reading.edit((await pair.reading.contact()).id, company="Mills")
    await pair.reading.absorb(Record("1", deleted=True, merged_into="2"))
    await pair.reading.absorb(ada("2", company="Looms", modified_time=later(2)))
    assert (await pair.reading.contact()).company == "Mills"
    assert (await pair.reading.base()).crm_contact_id == "2"


async def test_what_many_attempts_told_is_known_of_the_last_few(pair: Pair) -> None:
    """Each once, as long as it is told again."""
    await pair.reading.absorb(ada())
    for number in range(10):
        await unanswered(pair, company=f"Company {number}")
        await pair.shop.make_due()
        pair.adapter.answers.insert(0, answering(lambda _: Unknown("no answer")))
        await pair.lane().deliver()
    told = [one["company"] for one in (await pair.reading.standing()).unsettled]
    assert told == [f"Company {number}" for number in range(2, 10)]
