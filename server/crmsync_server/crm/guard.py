"""Stops a push when one of its calls shows that no further call makes sense."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Accepted, Outcome, Postponed, Synced, Unknown

Outcome_co = TypeVar("Outcome_co", covariant=True)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Faulted(Generic[Outcome_co]):
    """The call failed as a whole (quota, network, credentials): no record of it is to blame.

    outcome: what became of the records of this call.
    """

    outcome: Outcome_co


# Records that were never tried burn no retry; they only wait a little for the fault to pass.
_UNSENT_WAIT = timedelta(seconds=5)
# One lost connection says little; so many in a row say that the CRM is down.
_FAULTS_IN_A_ROW = 3


class Guard:
    """Watches the calls of one push, whether they run one by one or side by side.

    A Postponed stops the push at once, and so do refused credentials; other faults stop it when
    they come in a row. A stopped push answers every further call with a Faulted, unmade.
    """

    def __init__(self, clock: Callable[[], datetime], time_left: timedelta) -> None:
        """Take the clock, and how long calls may still be started."""
        self._clock = clock
        self._last_start = clock() + time_left
        self._unsent: Postponed | None = None
        self._faults_in_a_row = 0
        self._refused: CredentialsRefusedError | None = None

    async def call(
        self, make: Callable[[], Awaitable[Answer | Faulted[Outcome]]]
    ) -> Answer | Faulted[Outcome]:
        """Make a call unless the push has been stopped; never raises CredentialsRefusedError."""
        now = self._clock()
        if self._unsent is None and now > self._last_start:
            self._unsent = Postponed(now, "PUSH_TIME", "the push ran out of time", lane=False)
        if self._unsent is not None:
            return Faulted(self._unsent)
        try:
            answer = await make()
        except CredentialsRefusedError as refused:
            self._refused = refused
            answer = Faulted(Postponed(now, "CREDENTIALS_REFUSED", str(refused)))
        self._note(answer)
        return answer

    def _note(self, answer: object) -> None:
        if not isinstance(answer, Faulted):
            self._faults_in_a_row = 0
        elif isinstance(answer.outcome, Postponed):
            self._unsent = answer.outcome
        else:
            self._faults_in_a_row += 1
            if self._faults_in_a_row >= _FAULTS_IN_A_ROW and self._unsent is None:
                until = self._clock() + _UNSENT_WAIT
                self._unsent = Postponed(until, "NOT_SENT", answer.outcome.message, lane=False)

    def conclude(self, outcomes: Iterable[Outcome]) -> None:
        """Raise the CredentialsRefusedError that stopped the push, if nothing went out before.

        Raising after a delivery would lose it; then the next push raises instead.
        """
        went_out = any(isinstance(outcome, Synced | Unknown | Accepted) for outcome in outcomes)
        if self._refused is not None and not went_out:
            raise self._refused
