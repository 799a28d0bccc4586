"""How long a call to a CRM took, without the time in which it waited for its turn."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stopwatch:
    """Runs from when it is made, but for pauses; several that overlap are one."""

    def __init__(self) -> None:
        """Begin to run."""
        self._since = _now()
        self._spared = 0.0
        self._paused_since = 0.0
        self._pauses = 0

    @property
    def seconds(self) -> float:
        """Return how long it has run until now."""
        now = _now()
        paused = now - self._paused_since if self._pauses else 0.0
        return now - self._since - self._spared - paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still for the block."""
        if not self._pauses:
            self._paused_since = _now()
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._spared += _now() - self._paused_since


running: ContextVar[Stopwatch | None] = ContextVar("running", default=None)
"""The stopwatch of the call that is being made, for whoever keeps it waiting."""


def _now() -> float:
    return asyncio.get_running_loop().time()
