"""Stops a push when one of its calls shows that no further call makes sense."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Accepted, Outcome, Postponed, Retry, Synced, Unknown

Result = TypeVar("Result", covariant=True)  # noqa: PLC0105 - reads as a word in every signature
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Halted(Generic[Result]):
    """No further call makes sense now (quota, network, credentials).

    sent: what became of the records of this call.
    unsent: what becomes of the records of the calls that are not made.
    """

    sent: Result
    unsent: Result


class Guard:
    """Watches the calls of one push, whether they run one by one or side by side."""

    def __init__(self, clock: Callable[[], datetime], time_left: timedelta) -> None:
        """Take the clock, and how long calls may still be started."""
        self._clock = clock
        self._last_start = clock() + time_left
        self._halted: Halted[Outcome] | None = None
        self._refused: CredentialsRefusedError | None = None

    async def call(
        self, make: Callable[[], Awaitable[Answer | Halted[Outcome]]]
    ) -> Answer | Halted[Outcome]:
        """Make a call unless the push has been stopped; never raises CredentialsRefusedError."""
        if self._halted is None and self._clock() > self._last_start:
            late = Postponed(self._clock(), "PUSH_TIME", "the push ran out of time", lane=False)
            self._halted = Halted(late, late)
        if self._halted is not None:
            return Halted(self._halted.unsent, self._halted.unsent)
        try:
            answer = await make()
        except CredentialsRefusedError as refused:
            self._refused = refused
            later = Retry("CREDENTIALS_REFUSED", str(refused))
            answer = Halted(later, later)
        if isinstance(answer, Halted):
            self._halted = answer
        return answer

    def conclude(self, outcomes: Iterable[Outcome]) -> None:
        """Raise the CredentialsRefusedError that stopped the push, if nothing went out before.

        Raising after a delivery would lose it; then the next push raises instead.
        """
        went_out = any(isinstance(outcome, Synced | Unknown | Accepted) for outcome in outcomes)
        if self._refused is not None and not went_out:
            raise self._refused
