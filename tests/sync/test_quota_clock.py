"""The database's clock, as a process knows it from what it was told."""

from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.sync.quota_clock import SharedClock


@given(
    skew=st.floats(-1e6, 1e6),
    ways=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_the_truth_lies_between_the_bounds(skew: float, ways: list[tuple[float, float]]) -> None:
    """However long questions and answers are on their way, and however uneven."""
    clock, now = SharedClock(), 1.8e9
    for there, back in ways:
        sent, told = now + skew, now + there
        now = told + back
        clock.heard(sent, told, now + skew)
        assert clock.surely_before(now) <= now + skew + 1e-5
        assert clock.surely_after(now) >= now + skew - 1e-5
    fastest = min(there + back for there, back in ways)
    assert clock.surely_after(now) - clock.surely_before(now) <= fastest + 1e-5


def test_a_clock_that_was_set_is_believed() -> None:
    """What was known before is worth nothing then."""
    clock = SharedClock()
    clock.heard(10.0, 1000.0, 10.1)
    clock.heard(11.0, 5000.0, 11.1)
    assert clock.surely_before(5000.0) == 11.0
    assert clock.surely_after(5000.0) <= 11.1 + 1e-9


def test_what_was_heard_long_ago_is_forgotten() -> None:
    """Clocks drift."""
    clock = SharedClock()
    clock.heard(10.0, 1000.0, 10.001)
    clock.heard(110.0, 1100.0005, 110.5)
    assert clock.surely_after(1100.0005) == 110.5
