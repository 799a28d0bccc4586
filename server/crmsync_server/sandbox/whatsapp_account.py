"""A simulated WhatsApp Business account: its numbers, what was written to whom, and when."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from secrets import token_hex

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.wire import JsonObject

WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A phone number of the account, as the Graph API tells it."""

    id: str
    display: str
    name: str
    quality: str = "GREEN"
    status: str = "CONNECTED"
    verification: str = "VERIFIED"
    name_status: str = "APPROVED"

    @property
    def digits(self) -> str:
        """The number without anything but digits."""
        return "".join(one for one in self.display if one.isdecimal())

    def as_json(self) -> JsonObject:
        """Return every field."""
        return {
            "id": self.id,
            "display_phone_number": self.display,
            "verified_name": self.name,
            "quality_rating": self.quality,
            "status": self.status,
            "code_verification_status": self.verification,
            "name_status": self.name_status,
        }


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that the business sent and Meta took."""

    wamid: str
    number_id: str
    to: str
    body: JsonObject
    time: datetime


@dataclass(slots=True)
class Account:
    """What Meta holds of one account."""

    clock: Clock
    numbers: dict[str, Number]
    sent: list[Outgoing] = field(default_factory=list)
    heard: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When somebody last wrote to one of the numbers, by (number id, wa_id)."""
    _serial: Iterator[int] = field(default_factory=count)
    _paces: dict[str, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    def new_wamid(self) -> str:
        """Return an id as WhatsApp gives them: long, and never given before."""
        return f"wamid.HBgL{token_hex(12).upper()}{next(self._serial):08d}"

    def may_write(self, number_id: str, wa_id: str) -> bool:
        """Say whether free text may be sent: within 24 hours of what was heard last."""
        heard = self.heard.get((number_id, wa_id))
        return heard is not None and self.clock() - heard < WINDOW

    def keeps_pace(self, key: str, limit: int, period: timedelta) -> bool:
        """Count one more of something, unless there were too many of it in a period."""
        now, taken = self.clock(), self._paces[key]
        while taken and now - taken[0] >= period:
            taken.popleft()
        if len(taken) >= limit:
            return False
        taken.append(now)
        return True

    def clear(self) -> None:
        """Forget messages and paces."""
        self.sent.clear()
        self.heard.clear()
        self._paces.clear()
