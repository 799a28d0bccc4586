"""Calls to an adapter: one odd answer costs its own record, never the batch or the lane."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
import structlog

from crmsync_server.crm.adapter import Adapter, Capabilities, Delivery
from crmsync_server.crm.outcomes import Outcome, Postponed, Synced, Unknown
from crmsync_server.sync.calls import Calls

BATCH = [Delivery(UUID(int=n), 1, None, "a@example.com") for n in range(2)]


class Odd:
    """An adapter that answers whatever it was given."""

    capabilities = Capabilities(100, 1, True, True, timedelta(seconds=0.05))  # noqa: FBT003 - short

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - what no type would allow
        """Answer this."""
        self.answer = answer

    async def push(self, _batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer."""
        return cast("Sequence[Outcome]", self.answer)


class Stubborn(Odd):
    """An adapter that does not stop when it is told to."""

    def __init__(self) -> None:
        """Wait for may_end."""
        super().__init__(None)
        self.may_end = asyncio.Event()

    async def push(self, _batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Wait through every cancellation."""
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                continue
        return []


async def push(adapter: Odd) -> Sequence[Outcome]:
    """Push a batch to an odd adapter."""
    calls = Calls(lambda: datetime.now(UTC), structlog.get_logger())
    return await calls.push(cast("Adapter", adapter), BATCH, [])


@pytest.mark.parametrize(
    "odd",
    [
        Synced(cast("str", 12345)),
        Synced(cast("str", None)),
        Postponed(datetime(2026, 1, 1), "NAIVE"),  # noqa: DTZ001 - the oddity
        None,
        "synced",
    ],
)
async def test_an_odd_outcome_is_unknown_and_the_next_one_is_kept(odd: object) -> None:
    """It cannot be kept, and nobody can tell whether the record was applied."""
    good = Synced("7")
    answer = await push(Odd([odd, good]))
    assert isinstance(answer[0], Unknown)
    assert answer[1] == good


@pytest.mark.parametrize("answer", [None, 7, [], [Synced("1")]])
async def test_an_answer_that_does_not_account_for_the_batch_makes_all_unknown(
    answer: object,
) -> None:
    """Never a success."""
    outcomes = await push(Odd(answer))
    assert [type(one) for one in outcomes] == [Unknown, Unknown]


async def test_an_adapter_that_does_not_stop_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its lane goes on."""
    monkeypatch.setattr("crmsync_server.sync.calls._TO_OBEY", 0.05)
    stubborn = Stubborn()
    async with asyncio.timeout(5):
        outcomes = await push(stubborn)
    assert [type(one) for one in outcomes] == [Unknown, Unknown]
    stubborn.may_end.set()
