"""Sorted indexes: which ids there are, and when something happened to each.

They keep a page of 200,000 contacts as cheap as one of a hundred: nothing here is scanned for a
question that was asked before.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SPAN = 1 << 40
_ALWAYS = 1 << 60
_KEPT_WINDOWS = 8


class SortedIds:
    """Numbers in ascending order; to add one greater than all others is the cheap case."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        """Start with these."""
        self.ids: list[int] = sorted(ids)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    def add(self, number: int) -> None:
        """Add a number that is not there."""
        if not self.ids or number > self.ids[-1]:
            self.ids.append(number)
        else:
            insort(self.ids, number)

    def discard(self, number: int) -> None:
        """Remove a number, if it is there."""
        at = bisect_left(self.ids, number)
        if at < len(self.ids) and self.ids[at] == number:
            del self.ids[at]

    def after(self, number: int, limit: int) -> list[int]:
        """Return up to `limit` of those that are greater than a number."""
        at = bisect_right(self.ids, number)
        return self.ids[at : at + limit]


def between(ids: list[int], low: int | None, high: int | None) -> list[int]:
    """Return those of ascending ids from `low` to `high`, both included; None is no bound."""
    start = 0 if low is None else bisect_left(ids, low)
    stop = len(ids) if high is None else bisect_right(ids, high)
    return ids[start:stop]


class Timeline:
    """Ids by the instant at which something happened to them, such as the last change.

    An instant is a whole number; all ids may share one. The windows asked for last are kept up to
    date with every change, so that page after page of one window costs what the page costs.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.instants: dict[int, int] = {}
        self._entries = SortedIds()
        self._windows: OrderedDict[tuple[int, int], SortedIds] = OrderedDict()

    def put(self, number: int, instant: int) -> None:
        """Say when it happened to an id; what was said before of the same id is forgotten."""
        if self.instants.get(number) == instant:
            return
        self.discard(number)
        self.instants[number] = instant
        self._entries.add(instant * _SPAN + number)
        for (low, high), window in self._windows.items():
            if low <= instant <= high:
                window.add(number)

    def fill(self, happened: Iterable[tuple[int, int]]) -> None:
        """Say it of many new ids, `(id, instant)` each, in one go."""
        added = dict(happened)
        self.instants |= added
        self._entries.ids += [instant * _SPAN + number for number, instant in added.items()]
        self._entries.ids.sort()
        self._windows.clear()

    def discard(self, number: int) -> None:
        """Forget an id, if it is known."""
        instant = self.instants.pop(number, None)
        if instant is None:
            return
        self._entries.discard(instant * _SPAN + number)
        for (low, high), window in self._windows.items():
            if low <= instant <= high:
                window.discard(number)

    def window(self, low: int | None = None, high: int | None = None) -> list[int]:
        """Return the ids to which it happened from `low` to `high`, both included, ascending.

        The list belongs to the timeline: it is not to be changed, nor kept.
        """
        bounds = (-_ALWAYS if low is None else low, _ALWAYS if high is None else high)
        found = self._windows.get(bounds)
        if found is None:
            found = self._windows[bounds] = SortedIds(self._between(*bounds))
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(bounds)
        return found.ids

    def _between(self, low: int, high: int) -> Iterable[int]:
        entries = between(self._entries.ids, low * _SPAN, (high + 1) * _SPAN - 1)
        return [entry % _SPAN for entry in entries]


def milliseconds(instant: datetime) -> int:
    """Return the whole milliseconds since 1970, rounded down as CRMs print them."""
    return (instant - _EPOCH) // _MILLISECOND
