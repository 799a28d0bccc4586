"""What books grant, over simulated replicas with clocks of their own that stall, die and jump."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmsync_server.crm.adapter import Limit
from crmsync_server.store.quota import Book
from crmsync_server.sync.quota_book import Call, Wanted, fresh, give_back, grant, roll
from crmsync_server.sync.quota_clock import SharedClock
from crmsync_server.sync.quota_line import Line, News
from crmsync_server.sync.quota_rules import LATE, Rules, next_midnight, rules

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
BURST = Limit("burst", 190, timedelta(seconds=10))
HOURLY = Limit("hourly", 100, timedelta(hours=1))
NEW_YORK = ZoneInfo("America/New_York")
DAILY = Limit("daily", 1000, timedelta(days=1), resets=NEW_YORK)
SHARE = 0.1


@dataclass
class Replica:
    """One process: how far its clock is ahead of the database's, and what it holds."""

    rules: Rules
    skew: float
    clock: SharedClock = field(default_factory=SharedClock)
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        """Begin with empty hands."""
        self.line = Line(self.rules, self.clock)

    def die(self) -> None:
        """Lose what is in hand, and begin anew."""
        self.clock = SharedClock()
        self.line = Line(self.rules, self.clock)


@dataclass
class World:
    """The one book, the time by the database's clock, and when calls were made."""

    rules: Rules
    replicas: Sequence[Replica]
    now: float = NOW
    made: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with a book that nobody has drawn on."""
        self.book = fresh(self.rules)

    def call(self, replica: Replica, *, urgent: bool, there: float, back: float) -> None:
        """Make the next call if it may be made now; else ask for more, which takes a while."""
        found = replica.line.spend(self.now + replica.skew)
        if isinstance(found, Call):
            self.made.append(self.now)
        elif found is None or urgent:
            self.ask(replica, urgent=urgent, there=there, back=back)

    def ask(self, replica: Replica, *, urgent: bool, there: float, back: float) -> None:
        """Ask for a lot; the answer is made after the way there, and known after the way back."""
        news, replica.line.news = replica.line.news, News()
        sent = self.now + replica.skew
        self.now += there
        roll(self.book, self.rules, self.now)
        give_back(self.book, self.rules, news.unspent)
        wanted = Wanted(1 if urgent else 20, urgent, lag=there + back)
        answer = grant(self.book, self.rules, self.now, wanted)
        told = self.now
        self.now += back
        replica.clock.heard(sent, told, self.now + replica.skew)
        if not isinstance(answer, float):
            replica.line.granted(answer)


def live(world: World, seed: int, steps: int, apart: float) -> None:
    """Let replicas ask for more than there is, stall, die and give back, for so many steps.

    apart: seconds between two steps, on average.
    """
    chance = Random(seed)  # noqa: S311 - simulated work
    way = min(0.05, world.rules.period / 50)
    for _ in range(steps):
        world.now += apart * chance.expovariate(1)
        replica = chance.choice(world.replicas)
        event = chance.random()
        if event < 0.02:
            replica.die()
        elif event < 0.04:
            replica.line.give_back()
        elif event < 0.05:
            world.now += chance.random() * world.rules.period
        there, back = way * chance.random(), way * chance.random()
        world.call(replica, urgent=event > 0.9, there=there, back=back)


@settings(max_examples=80, deadline=None)
@given(
    calls=st.integers(1, 40),
    period=st.sampled_from((1.0, 10.0, 61.0, 3600.0)),
    skews=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4),
    load=st.sampled_from((1, 5, 20)),
    seed=st.integers(0, 1000),
)
def test_no_window_has_more_calls_than_the_limit(
    calls: int, period: float, skews: list[float], load: int, seed: int
) -> None:
    """Wherever it begins, whoever calls, whatever the clocks say, and whoever dies meanwhile."""
    kept = rules(Limit("burst", calls, timedelta(seconds=period)), SHARE)
    world = World(kept, [Replica(kept, skew) for skew in skews])
    live(world, seed, 60 * load, apart=period / calls / load)
    for first, one_too_many in zip(world.made, world.made[calls:], strict=False):
        assert one_too_many - first >= period - 1e-6


@settings(max_examples=40, deadline=None)
@given(calls=st.integers(1, 40), begins=st.floats(0, 86400), apart=st.floats(-0.9, 0.9))
def test_no_day_has_more_calls_than_the_limit(calls: int, begins: float, apart: float) -> None:
    """From midnight to midnight in the portal's zone, by a clock that is a little apart."""
    kept = rules(Limit("daily", calls, timedelta(days=1), resets=NEW_YORK), SHARE)
    world = World(kept, [Replica(kept, skew) for skew in (0.0, 5.0, -5.0)], now=NOW + begins)
    for seed in range(3):
        live(world, seed, 100, apart=0.3)
        # To where the day ends: what is in hand then must not be made in the next one.
        world.now = next_midnight(world.now, NEW_YORK) - 4.0
    live(world, 9, 100, apart=0.3)
    days: dict[object, int] = {}
    for moment in world.made:
        day = datetime.fromtimestamp(moment + apart, NEW_YORK).date()
        days[day] = days.get(day, 0) + 1
    assert max(days.values(), default=0) <= calls


def granted(book: Book, limit: Limit, now: float, calls: int, *, urgent: bool = False) -> int:
    """Draw on a book and return how many calls were granted."""
    kept = rules(limit, SHARE)
    roll(book, kept, now)
    answer = grant(book, kept, now, Wanted(calls, urgent))
    return 0 if isinstance(answer, float) else len(answer)


def opens(book: Book, limit: Limit, now: float, *, urgent: bool = False) -> float:
    """Return until when a book that grants nothing asks to wait, in seconds from now."""
    kept = rules(limit, SHARE)
    roll(book, kept, now)
    answer = grant(book, kept, now, Wanted(1, urgent))
    assert isinstance(answer, float)
    return answer - now


@pytest.mark.parametrize("replicas", [1, 2, 5])
@pytest.mark.parametrize("limit", [BURST, HOURLY], ids=lambda limit: limit.bucket)
def test_ordinary_work_alone_uses_nearly_all(limit: Limit, replicas: int) -> None:
    """What is kept for urgent work costs 95 of 100 calls at most: nine tenths of a long window."""
    kept = rules(limit, SHARE)
    world = World(kept, [Replica(kept, float(number)) for number in range(replicas)])
    least = 0.95 if kept.span else 0.89
    seconds = 12 * kept.period
    while world.now < NOW + seconds:
        for replica in world.replicas:
            world.call(replica, urgent=False, there=0.001, back=0.001)
        world.now += kept.period / limit.calls / 20
    assert len(world.made) >= least * limit.calls * seconds / kept.period


def test_a_short_window_is_paced_and_urgent_work_overtakes() -> None:
    """A few calls at once, the others after each other; urgent ones at once whatever waits."""
    kept, book = rules(BURST, SHARE), fresh(rules(BURST, SHARE))
    lot = grant(book, kept, NOW, Wanted(50, urgent=False))
    assert not isinstance(lot, float)
    moments = [call.at for call in lot]
    assert moments[:10] == pytest.approx([NOW] * 10, abs=1e-6)
    apart = [later - earlier for earlier, later in pairwise(moments[10:])]
    assert apart == pytest.approx([10 / 190 / 1.05] * len(apart), abs=1e-6)
    assert moments[-1] <= NOW + 0.5
    urgent = grant(book, kept, NOW, Wanted(2, urgent=True))
    assert not isinstance(urgent, float)
    assert [call.at for call in urgent] == [NOW, NOW]


def test_a_full_window_has_calls_left_for_urgent_work() -> None:
    """When ordinary work has taken all that it may."""
    book, at = fresh(rules(BURST, SHARE)), NOW
    while at < NOW + 9.2:
        granted(book, BURST, at, 50)
        at += 0.1
    assert granted(book, BURST, at, 1) == 0
    assert granted(book, BURST, at, 50, urgent=True) == 4


def test_where_there_is_urgent_work_its_whole_share_is_kept() -> None:
    """For one period after the last of it; ordinary work has a tenth less in that time."""
    book, at, taken = fresh(rules(BURST, SHARE)), NOW, 0
    assert granted(book, BURST, NOW, 1, urgent=True) == 1
    while at < NOW + 9.2:
        taken += granted(book, BURST, at, 50)
        at += 0.1
    assert taken == 190 - 19 - 1
    assert granted(book, BURST, at, 50, urgent=True) == 19


def test_what_is_kept_of_a_day_is_released_in_ten_steps() -> None:
    """The less of the day is left, the less is kept; at its end nothing is lost."""
    midnight = datetime(2026, 11, 21, 0, 0, tzinfo=NEW_YORK).timestamp()
    book, taken = fresh(rules(DAILY, SHARE)), []
    for tenth in range(10):
        at = midnight + 3 + tenth * 8640
        taken.append(granted(book, DAILY, at, 10_000))
    # At the first look a moment of the day has passed already.
    assert taken == [910, *([10] * 9)]


def test_ordinary_work_waits_for_the_next_release_and_urgent_work_for_midnight() -> None:
    """So that a lane is not woken for every single call."""
    midnight = datetime(2026, 11, 21, 0, 0, tzinfo=NEW_YORK).timestamp()
    book, at = fresh(rules(DAILY, SHARE)), midnight + 3
    granted(book, DAILY, at, 10_000)
    assert at + opens(book, DAILY, at) == pytest.approx(midnight + 8641, abs=1)
    assert granted(book, DAILY, midnight + 8642, 10_000) == 10
    granted(book, DAILY, at, 10_000, urgent=True)
    assert at + opens(book, DAILY, at, urgent=True) == midnight + 86400 + LATE
    assert granted(book, DAILY, midnight + 86400 + LATE, 1) == 1


def test_a_day_ends_at_midnight_where_the_portal_is_even_when_clocks_change() -> None:
    """The first of November 2026 has 25 hours in New York."""
    first = datetime(2026, 11, 1, 0, 0, tzinfo=NEW_YORK).timestamp()
    book = fresh(rules(DAILY, SHARE))
    granted(book, DAILY, first + 3, 10_000, urgent=True)
    assert granted(book, DAILY, first + 24.5 * 3600, 1, urgent=True) == 0
    assert granted(book, DAILY, first + 25 * 3600 + LATE, 1) == 1


def test_around_midnight_nothing_is_granted() -> None:
    """The CRM's clock may be a second apart: a call then would count in either day."""
    midnight = datetime(2026, 11, 21, 0, 0, tzinfo=NEW_YORK).timestamp()
    book = fresh(rules(DAILY, SHARE))
    assert granted(book, DAILY, midnight - 2, 1) == 1
    for at in (midnight - 1, midnight, midnight + LATE - 0.1):
        assert granted(book, DAILY, at, 1) == 0
        assert at + opens(book, DAILY, at) == midnight + LATE


def test_a_lot_of_today_is_not_spent_tomorrow() -> None:
    """What is in hand at midnight is laid down."""
    midnight = datetime(2026, 11, 21, 0, 0, tzinfo=NEW_YORK).timestamp()
    kept, book = rules(DAILY, SHARE), fresh(rules(DAILY, SHARE))
    roll(book, kept, midnight - 2)
    lot = grant(book, kept, midnight - 2, Wanted(5, urgent=False))
    assert not isinstance(lot, float)
    assert all(call.deadline < midnight for call in lot)


def test_a_day_without_a_known_end_is_any_24_hours() -> None:
    """Until the CRM tells."""
    limit = Limit("daily", 1000, timedelta(days=1))
    book = fresh(rules(limit, SHARE))
    assert granted(book, limit, NOW, 10_000, urgent=True) == 1000
    assert granted(book, limit, NOW + 86_000, 1, urgent=True) == 0
    assert granted(book, limit, NOW + 87_000, 1, urgent=True) == 1


def test_calls_that_were_not_made_can_be_granted_again() -> None:
    """Whoever gives them back."""
    kept, book = rules(HOURLY, SHARE), fresh(rules(HOURLY, SHARE))
    lot = grant(book, kept, NOW, Wanted(100, urgent=True))
    assert not isinstance(lot, float)
    give_back(book, kept, lot[:7])
    assert granted(book, HOURLY, NOW, 100, urgent=True) == 7


def test_a_limit_of_one_call_is_not_all_kept() -> None:
    """Ordinary work always has one."""
    for share in (0.1, 1.0):
        kept = rules(Limit("tiny", 1, timedelta(hours=1)), share)
        assert kept.reserve(1, None) == 0
