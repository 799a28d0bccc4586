"""What a CRM says of its allowance: taken over, for whoever draws on it next."""

from datetime import timedelta

import pytest

from crmsync_server.crm.adapter import Limit
from crmsync_server.store.quota import Book
from crmsync_server.sync.quota_book import Wanted, allowed, fresh, grant, held, roll
from crmsync_server.sync.quota_learning import Refused, Told, learn, refuse
from crmsync_server.sync.quota_rules import LATE, Rules, rules
from tests.sync.test_quota_book import BURST, DAILY, HOURLY, NOW, SHARE

BURSTS = rules(BURST, SHARE)
HOURS = rules(HOURLY, SHARE)
UNKNOWN_DAY = rules(Limit("daily", 1000, timedelta(days=1)), SHARE)


def drawn(kept: Rules, calls: int) -> Book:
    """Return a book from which some calls were drawn just now."""
    book = fresh(kept)
    for _ in range(calls):
        grant(book, kept, NOW, Wanted(1, urgent=True))
    return book


@pytest.mark.parametrize("calls", [100, 250])
def test_another_limit_is_taken_over(calls: int) -> None:
    """A lower one and a higher one."""
    book = drawn(BURSTS, 0)
    learn(book, BURSTS, Told(NOW, calls, None, None))
    assert allowed(book, NOW) == calls


def test_a_limit_of_nothing_is_not_believed() -> None:
    """A header that is broken does not end the deliveries."""
    book = drawn(BURSTS, 0)
    learn(book, BURSTS, Told(NOW, 0, None, None))
    assert allowed(book, NOW) == 190


def test_calls_of_others_are_counted() -> None:
    """Until they are as old as the period."""
    book = drawn(BURSTS, 10)
    learn(book, BURSTS, Told(NOW, 190, 100, None))
    assert held(book, BURSTS, NOW) == 90
    learn(book, BURSTS, Told(NOW, 190, 100, None))
    assert held(book, BURSTS, NOW) == 90
    assert held(book, BURSTS, NOW + 10.3) == 0


def test_our_own_calls_are_not_taken_for_those_of_others() -> None:
    """Calls under way are granted, and not yet counted by the CRM."""
    for remaining in (190, 181, 180, 179):
        book = drawn(BURSTS, 10)
        learn(book, BURSTS, Told(NOW, 190, remaining, None))
        assert held(book, BURSTS, NOW) == 10


def test_calls_of_others_leave_with_the_period_that_the_crm_told() -> None:
    """It begins anew in a quarter of an hour, not in an hour."""
    book = drawn(HOURS, 1)
    learn(book, HOURS, Told(NOW, 100, 0, NOW + 900))
    assert held(book, HOURS, NOW + 880) == 100
    roll(book, HOURS, NOW + 940)
    assert held(book, HOURS, NOW + 940) == 1


def test_the_reset_of_a_day_is_learned() -> None:
    """With what of it is left."""
    book = drawn(UNKNOWN_DAY, 100)
    learn(book, UNKNOWN_DAY, Told(NOW, 1000, 300, NOW + 3600))
    assert book.reset == NOW + 3600
    assert held(book, UNKNOWN_DAY, NOW) == 700
    roll(book, UNKNOWN_DAY, NOW + 3600 + LATE)
    assert held(book, UNKNOWN_DAY, NOW + 3600 + LATE) == 0
    assert book.reset == NOW + 3600 + 86400


def test_a_day_that_began_elsewhere_has_its_calls_again() -> None:
    """The CRM's midnight is over, and ours was not known: it says that nearly all is left."""
    book = drawn(UNKNOWN_DAY, 900)
    learn(book, UNKNOWN_DAY, Told(NOW, 1000, 990, None))
    assert held(book, UNKNOWN_DAY, NOW) <= 50


def test_a_reset_that_moves_by_a_day_begins_a_new_one() -> None:
    """The CRM's clock was a little ahead of ours."""
    kept = rules(DAILY, SHARE)
    book = drawn(kept, 500)
    book.reset = NOW + 1
    learn(book, kept, Told(NOW, 1000, None, NOW + 86_401))
    assert held(book, kept, NOW) == 0
    assert book.reset == NOW + 86_401


def test_a_reset_in_the_past_is_not_believed() -> None:
    """It would begin a day with every reply."""
    book = drawn(UNKNOWN_DAY, 100)
    learn(book, UNKNOWN_DAY, Told(NOW, 1000, None, NOW))
    assert book.reset is None


def test_a_refusal_halves_the_rate_and_it_comes_back_by_and_by() -> None:
    """By a tenth in each period."""
    book = drawn(BURSTS, 0)
    refuse(book, BURSTS, Refused(NOW, NOW + 10))
    rates = [allowed(book, NOW + seconds) for seconds in (0, 10, 20, 50, 1000)]
    assert rates == [95, 114, 133, 190, 190]


def test_until_the_time_that_the_crm_told_nothing_is_granted() -> None:
    """Not to urgent work either."""
    book = drawn(BURSTS, 0)
    refuse(book, BURSTS, Refused(NOW, NOW + 10))
    refuse(book, BURSTS, Refused(NOW, NOW + 5))
    roll(book, BURSTS, NOW + 9.9)
    assert grant(book, BURSTS, NOW + 9.9, Wanted(1, urgent=True)) == NOW + 10
    roll(book, BURSTS, NOW + 10)
    assert grant(book, BURSTS, NOW + 10, Wanted(1, urgent=True)) != NOW + 10


def test_refusals_of_one_moment_are_one() -> None:
    """All calls under way are refused together; the rate is halved once."""
    book = drawn(BURSTS, 0)
    for later in range(5):
        refuse(book, BURSTS, Refused(NOW + later, NOW + 10))
    assert allowed(book, NOW) == 95
    refuse(book, BURSTS, Refused(NOW + 11, NOW + 21))
    assert allowed(book, NOW + 11) == 57


def test_the_rate_never_comes_to_nothing() -> None:
    """However often it is refused."""
    tiny = rules(Limit("tiny", 4, timedelta(seconds=1)), SHARE)
    book = drawn(tiny, 0)
    for later in range(100):
        refuse(book, tiny, Refused(NOW + later * 10, NOW + later * 10 + 1))
        book.refused = NOW + later * 10
    assert allowed(book, NOW + 1000) >= 1


def test_a_refused_day_is_used_up_until_the_crm_says() -> None:
    """Its reset is known from then on; the rate afterwards is the whole one."""
    book = drawn(UNKNOWN_DAY, 3)
    refuse(book, UNKNOWN_DAY, Refused(NOW, NOW + 7200))
    roll(book, UNKNOWN_DAY, NOW + 60)
    answer = grant(book, UNKNOWN_DAY, NOW + 60, Wanted(1, urgent=True))
    assert isinstance(answer, float)
    assert answer >= NOW + 7200
    roll(book, UNKNOWN_DAY, NOW + 7200 + LATE)
    assert allowed(book, NOW + 7200 + LATE) == 1000
    assert not isinstance(
        grant(book, UNKNOWN_DAY, NOW + 7200 + LATE, Wanted(1, urgent=False)), float
    )
