"""The database's clock as this process knows it: an interval that every answer narrows."""

from dataclasses import dataclass

_FORGET = 60.0


@dataclass(slots=True)
class SharedClock:
    """How far this process's own clock is ahead of the database's, between two bounds, in seconds.

    Own clock: the event loop's, which never jumps.
    """

    least: float = 0.0
    most: float = 0.0
    since: float | None = None

    def heard(self, sent: float, told: float, received: float) -> None:
        """Take an answer: asked and received by the own clock, told by the database's."""
        low, high = sent - told, received - told
        stale = self.since is None or received - self.since > _FORGET
        if stale or low > self.most or high < self.least:
            # Clocks drift, and a database's may be set.
            self.least, self.most, self.since = low, high, received
        else:
            self.least, self.most = max(low, self.least), min(high, self.most)

    def surely_after(self, moment: float) -> float:
        """Return when a moment of the database's has surely come, by the own clock."""
        return moment + self.most

    def surely_before(self, moment: float) -> float:
        """Return until when a moment of the database's has surely not passed, by the own clock."""
        return moment + self.least

    def shared(self, own: float) -> float:
        """Return a moment of the own clock by the database's, as well as it is known."""
        return own - (self.least + self.most) / 2
