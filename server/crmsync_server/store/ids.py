"""Identifiers: UUIDs of version 7 (RFC 9562), which sort by the time they were made.

Sorted ids fill an index at its end, and a page of them is a page of neighbours.
"""

import os
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from uuid import UUID

_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
_RANDOM_BYTES = 8
_RANDOM_BITS = 0x3FFF_FFFF_FFFF_FFFF


def new_id() -> UUID:
    """Return an id greater than any that this process made before."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """Return so many ids in rising order, all greater than any that this process made before."""
    return _sequence().take(count)


def first_id(moment: datetime) -> UUID:
    """Return an id not greater than any that is made at or after a moment."""
    return _uuid(int(moment.timestamp() * 1000) << 12, 0)


class Sequence:
    """Rising ids by a clock that may stand still or go back."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Take the clock, which tells nanoseconds since 1970."""
        self._clock = clock
        self._last = 0

    def take(self, count: int) -> list[UUID]:
        """Return the next so many ids."""
        # 48 bits of milliseconds and 12 of their 4,096ths; a batch runs ahead of the clock by a
        # 4,096th for each id.
        first = max(self._last + 1, (self._clock() << 12) // 1_000_000)
        self._last = first + count - 1
        noise = memoryview(os.urandom(_RANDOM_BYTES * count)).cast("Q")
        return [_uuid(first + place, noise[place]) for place in range(count)]


def _uuid(tick: int, noise: int) -> UUID:
    milliseconds, fraction = tick >> 12, tick & 0xFFF
    return UUID(
        int=milliseconds << 80 | fraction << 64 | noise & _RANDOM_BITS | _VERSION_AND_VARIANT
    )


@cache
def _sequence() -> Sequence:
    # Made on first use and one for the process, since its order is the process's.
    return Sequence(time.time_ns)
