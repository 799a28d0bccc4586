"""How long to wait before trying again, and when to stop trying."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a broken call is made again. Waits are random between nothing and a growing bound.

    base: the bound of the first wait; each further one doubles it.
    cap: the bound never grows beyond this.
    patience: how long to go on without a single answer from a server; then the last error is
        raised. timedelta(0) raises the first.
    jitter: returns a number from 0 to 1, the part of the bound to wait.
    """

    base: timedelta = timedelta(milliseconds=100)
    cap: timedelta = timedelta(seconds=5)
    patience: timedelta = timedelta(minutes=5)
    jitter: Callable[[], float] = random.random

    def bound(self, failures: int) -> timedelta:
        """Return the longest wait after this many failures in a row, counted from 1."""
        doublings = min(failures - 1, 32)  # beyond that every cap is reached
        return min(self.cap, self.base * (1 << doublings))


class Retries:
    """The waits of one call: they grow while nothing answers, and begin anew when it does."""

    def __init__(self, policy: RetryPolicy) -> None:
        """Begin; the server counts as heard of just now."""
        self._policy = policy
        self._failures = 0
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()

    def heard(self) -> None:
        """Note that the server answered."""
        self._failures = 0
        self._heard = self._clock()

    async def wait(self, error: Exception) -> None:
        """Wait before the next try.

        Raises:
            Exception: `error`, when patience is over.
        """
        if self._clock() - self._heard >= self._policy.patience.total_seconds():
            raise error
        self._failures += 1
        bound = self._policy.bound(self._failures)
        await asyncio.sleep(bound.total_seconds() * self._policy.jitter())
