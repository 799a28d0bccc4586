"""How fast a lane goes is measured while it works, and only then."""

from crmsync_server.sync.pace import Pace


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        """Begin at an arbitrary moment."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


def test_records_are_counted_from_one_window_to_the_next() -> None:
    """100 every half a second are 200 a second."""
    clock = Clock()
    pace, told = Pace(clock), []
    for _ in range(9):
        told.append(pace.measured(100))
        clock.now += 0.5
    assert [rate for rate in told if rate is not None] == [200.0, 200.0]


def test_waiting_for_work_is_no_slowness() -> None:
    """One contact every ten seconds says nothing of how fast ten thousand would go."""
    clock = Clock()
    pace = Pace(clock)
    for _ in range(20):
        assert pace.measured(1) is None
        pace.rest()
        clock.now += 10


def test_what_stood_still_for_long_is_measured_anew() -> None:
    """A pause of the lane is none of its rate."""
    clock = Clock()
    pace = Pace(clock)
    pace.measured(100)
    clock.now += 31
    assert pace.measured(100) is None
    clock.now += 2
    assert pace.measured(100) == 50.0
