"""What stops a push, and what becomes of the records it no longer reaches."""

from datetime import datetime, timedelta

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Accepted, Outcome, Postponed, Rejected, Retry, Synced
from tests.crm.support import NOW

BUDGET = timedelta(seconds=90)


class Calls:
    """Calls that take a minute each, on a clock that they move."""

    def __init__(self) -> None:
        """Start now."""
        self.now = NOW
        self.made = 0

    def clock(self) -> datetime:
        """Return the time."""
        return self.now

    async def deliver(self) -> Outcome | Faulted[Outcome]:
        """Deliver a record, in a minute."""
        self.made += 1
        self.now += timedelta(minutes=1)
        return Synced("1")

    async def refuse(self) -> Outcome | Faulted[Outcome]:
        """Refuse the credentials."""
        self.made += 1
        message = "no"
        raise CredentialsRefusedError(message)


async def test_no_call_is_started_after_the_time_is_up() -> None:
    """The engine's lease ends soon after; records not reached wait for the next push."""
    calls = Calls()
    guard = Guard(calls.clock, BUDGET)
    answers = [await guard.call(calls.deliver) for _ in range(4)]
    assert answers[:2] == [Synced("1")] * 2
    late = Postponed(
        NOW + timedelta(minutes=2), "PUSH_TIME", "the push ran out of time", lane=False
    )
    assert answers[2:] == [Faulted(late)] * 2
    assert calls.made == 2


async def test_refused_credentials_stop_the_push_and_are_raised_at_its_end() -> None:
    """Not one more call is made with them."""
    calls = Calls()
    guard = Guard(calls.clock, BUDGET)
    await guard.call(calls.refuse)
    assert isinstance(await guard.call(calls.deliver), Faulted)
    assert calls.made == 1
    with pytest.raises(CredentialsRefusedError):
        guard.conclude([Retry("A", "b"), Rejected("A", "b")])


@pytest.mark.parametrize("delivered", [Synced("1"), Accepted("ticket", NOW)])
async def test_what_went_out_before_a_refusal_is_not_lost(delivered: Outcome) -> None:
    """Raising would forget it."""
    calls = Calls()
    guard = Guard(calls.clock, BUDGET)
    await guard.call(calls.refuse)
    guard.conclude([delivered])
    with pytest.raises(CredentialsRefusedError) as refused:
        guard.conclude([])
    assert str(refused.value) == "no"
