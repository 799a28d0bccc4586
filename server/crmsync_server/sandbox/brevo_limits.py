"""Brevo's rate limits: one class for contacts, one for everything else."""

from collections.abc import Sequence
from datetime import datetime

from crmsync_server.sandbox.brevo_errors import BrevoError
from crmsync_server.sandbox.limits import FixedWindow
from crmsync_server.sandbox.simulator import Admission


class LimitClass:
    """Windows that a request must all have room in."""

    def __init__(self, windows: Sequence[FixedWindow]) -> None:
        """Start with nothing taken."""
        self._windows = windows

    def admit(self, now: datetime) -> Admission:
        """Count a request, or refuse it with 429 and the seconds until it may be repeated."""
        full = [window for window in self._windows if not window.has_room(now)]
        if full:
            longest = max(full, key=lambda window: window.reset_after(now))
            refusal = BrevoError(429, "API rate limit exceeded").as_response()
            return Admission(_headers(longest, now), refusal)
        for window in self._windows:
            window.take(now)
        tightest = min(self._windows, key=lambda window: window.remaining(now))
        return Admission(_headers(tightest, now))


def _headers(window: FixedWindow, now: datetime) -> dict[str, str]:
    return {
        "x-sib-ratelimit-limit": str(window.limit),
        "x-sib-ratelimit-remaining": str(window.remaining(now)),
        # Seconds that remain, not an instant.
        "x-sib-ratelimit-reset": str(window.reset_after(now)),
    }
