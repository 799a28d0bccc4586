"""Identifiers that sort by the time they were made."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.store.ids import Sequence, new_id, new_ids


@given(
    ticks=st.lists(st.integers(0, 1 << 61), min_size=2, max_size=20),
    count=st.integers(1, 5),
)
def test_ids_rise_whatever_the_clock_does(ticks: list[int], count: int) -> None:
    """It may stand still, or be set back."""
    told = iter(ticks)
    sequence = Sequence(lambda: next(told))
    made = [one for _ in ticks for one in sequence.take(count)]
    assert all(before < after for before, after in pairwise(made))


def test_an_id_tells_its_time() -> None:
    """Its first 48 bits are milliseconds since 1970, as RFC 9562 has it."""
    [made] = Sequence(lambda: 1_700_000_000_123_456_789).take(1)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_700_000_000_123


def test_every_id_of_the_process_is_greater_than_those_before() -> None:
    """Single ones and batches draw on one sequence."""
    made = [new_id(), *new_ids(3), new_id()]
    assert made == sorted(made)
    assert new_ids(0) == []
