"""The sorted indexes of the simulated CRMs."""

from hypothesis import given
from hypothesis import strategies as some

from crmsync_server.sandbox.timeline import SortedIds, Timeline, between

IDS = some.integers(1, 12)
INSTANTS = some.integers(-3, 3)


@given(some.lists(some.tuples(some.booleans(), IDS, INSTANTS)), INSTANTS, INSTANTS)
def test_a_window_is_what_a_scan_would_find(
    changes: list[tuple[bool, int, int]], low: int, high: int
) -> None:
    """Whether it was asked for before the changes or only after them."""
    watched, fresh = Timeline(), Timeline()
    truth: dict[int, int] = {}
    watched.window(low, high)
    for put, number, instant in changes:
        for timeline in (watched, fresh):
            if put:
                timeline.put(number, instant)
            else:
                timeline.discard(number)
        truth = (
            truth | {number: instant} if put else {k: v for k, v in truth.items() if k != number}
        )
    expected = sorted(number for number, instant in truth.items() if low <= instant <= high)
    assert watched.window(low, high) == fresh.window(low, high) == expected
    assert watched.window() == sorted(truth)


def test_a_timeline_is_filled_in_one_go() -> None:
    """What was there before stays, and a window asked for before shows the new."""
    timeline = Timeline()
    timeline.put(7, 50)
    assert timeline.window(0, 100) == [7]
    timeline.fill((number, number * 10) for number in range(1, 4))
    assert timeline.window(0, 100) == [1, 2, 3, 7]
    assert timeline.window(20) == [2, 3, 7]


@given(some.lists(some.tuples(some.booleans(), IDS)), IDS, some.integers(0, 5))
def test_sorted_ids_stay_sorted(changes: list[tuple[bool, int]], number: int, limit: int) -> None:
    """Pages of them leave nothing out."""
    ids, truth = SortedIds(), set[int]()
    for add, one in changes:
        if add and one not in truth:
            ids.add(one)
            truth.add(one)
        elif not add:
            ids.discard(one)
            truth.discard(one)
    assert ids.ids == sorted(truth)
    assert ids.after(number, limit) == sorted(one for one in truth if one > number)[:limit]
    assert between(ids.ids, 3, number) == sorted(one for one in truth if 3 <= one <= number)
