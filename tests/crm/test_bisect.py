"""The bisection: every item settled, culprits exactly those, calls bounded."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.guard import Faulted


class Batch:
    """A CRM that takes numbers, all or nothing, and counts its calls."""

    def __init__(self, bad: set[int], *, names: bool = False, allowed_calls: int = 10**6) -> None:
        """Take the numbers it refuses, whether it names one, and how many calls it answers."""
        self.bad = bad
        self.names = names
        self.allowed_calls = allowed_calls
        self.calls = 0
        self.applied: list[int] = []

    async def send(self, items: Sequence[int]) -> Answer[str]:
        """Apply the items unless one is bad."""
        if self.calls == self.allowed_calls:
            return Faulted("postponed")
        self.calls += 1
        culprit = next((at for at, item in enumerate(items) if item in self.bad), None)
        if culprit is None:
            self.applied += items
            return ["synced"] * len(items)
        return Refused("rejected", {culprit: "rejected"} if self.names else {})


sizes = st.integers(min_value=0, max_value=200)


@given(st.data(), sizes)
async def test_unnamed_culprits_are_found_and_nobody_else_is_blamed(
    data: st.DataObject, size: int
) -> None:
    """Exactly the bad items are rejected, the others applied once, in few calls."""
    bad = data.draw(st.sets(st.integers(0, size - 1), max_size=10)) if size else set[int]()
    crm = Batch(bad)
    results = await deliver(range(size), crm.send)
    assert results == ["rejected" if item in bad else "synced" for item in range(size)]
    assert sorted(crm.applied) == [item for item in range(size) if item not in bad]
    found = len(bad)
    assert crm.calls <= 1 + 2 * found * math.ceil(math.log2(max(size, 2))) + found


@given(st.data(), st.integers(min_value=1, max_value=200))
async def test_named_culprits_cost_one_call_each(data: st.DataObject, size: int) -> None:
    """A CRM that names one culprit per refusal is asked once more than there are culprits."""
    bad = data.draw(st.sets(st.integers(0, size - 1), max_size=10))
    crm = Batch(bad, names=True)
    results = await deliver(range(size), crm.send)
    assert results == ["rejected" if item in bad else "synced" for item in range(size)]
    assert crm.calls <= len(bad) + 1


@given(st.data(), st.integers(min_value=1, max_value=100), st.integers(0, 30))
async def test_what_quota_does_not_allow_is_postponed(
    data: st.DataObject, size: int, allowed_calls: int
) -> None:
    """When calls run out, what was applied stays applied and the rest is postponed."""
    bad = data.draw(st.sets(st.integers(0, size - 1), max_size=10))
    crm = Batch(bad, allowed_calls=allowed_calls)
    results = await deliver(range(size), crm.send)
    assert len(results) == size
    assert {item for item, result in enumerate(results) if result == "synced"} == set(crm.applied)
    assert all(item in bad for item, result in enumerate(results) if result == "rejected")


async def test_a_pair_refused_together_but_not_apart_is_delivered() -> None:
    """Two records that only clash within one call both arrive."""

    async def send(items: Sequence[int]) -> Answer[str]:
        clash = {3, 90} <= set(items)
        return Refused("rejected") if clash else ["synced"] * len(items)

    assert await deliver(range(100), send) == ["synced"] * 100
