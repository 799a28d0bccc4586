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
    """No further call of this push makes sense (quota, network, credentials).

    outcome: what became of the records of this call.
    """

    outcome: Result


# Records that were never tried burn no retry; they only wait a little for the fault to pass.
_UNSENT_WAIT = timedelta(seconds=5)


class Guard:
    """Watches the calls of one push, whether they run one by one or side by side.

    Once a call is answered with a Halted, every later one is answered with a Halted unmade.
    """

    def __init__(self, clock: Callable[[], datetime], time_left: timedelta) -> None:
        """Take the clock, and how long calls may still be started."""
        self._clock = clock
        self._last_start = clock() + time_left
        self._unsent: Postponed | None = None
        self._refused: CredentialsRefusedError | None = None

    async def call(
        self, make: Callable[[], Awaitable[Answer | Halted[Outcome]]]
    ) -> Answer | Halted[Outcome]:
        """Make a call unless the push has been stopped; never raises CredentialsRefusedError."""
        now = self._clock()
        if self._unsent is None and now > self._last_start:
            self._unsent = Postponed(now, "PUSH_TIME", "the push ran out of time", lane=False)
        if self._unsent is not None:
            return Halted(self._unsent)
        try:
            answer = await make()
        except CredentialsRefusedError as refused:
            self._refused = refused
            answer = Halted(Postponed(now, "CREDENTIALS_REFUSED", str(refused)))
        if isinstance(answer, Halted):
            self._unsent = self._unsent_after(answer.outcome)
        return answer

    def _unsent_after(self, outcome: Outcome) -> Postponed:
        if isinstance(outcome, Postponed):
            return outcome
        why = outcome.message if isinstance(outcome, Retry | Unknown) else ""
        return Postponed(self._clock() + _UNSENT_WAIT, "NOT_SENT", why, lane=False)

    def conclude(self, outcomes: Iterable[Outcome]) -> None:
        """Raise the CredentialsRefusedError that stopped the push, if nothing went out before.

        Raising after a delivery would lose it; then the next push raises instead.
        """
        went_out = any(isinstance(outcome, Synced | Unknown | Accepted) for outcome in outcomes)
        if self._refused is not None and not went_out:
            raise self._refused
