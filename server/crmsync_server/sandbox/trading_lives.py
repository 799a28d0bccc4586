"""The lives of leads at a simulated broker: who is called, who deposits, who is never reached."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from crmsync_server.sandbox.trading_accounts import TradingAccount

STATUSES: Mapping[int, str] = {
    1: "New",
    2: "Attempted",
    3: "Contact",
    4: "No Answer",
    5: "Callback",
    6: "Not Interested",
    7: "Invalid Number",
    8: "Demo",
    9: "FTD",
    10: "Retention",
    11: "Deposited",
    12: "Withdrawn",
}
_DEMO, _FTD = 8, 9


class Step(NamedTuple):
    """How many hours after it came in a lead gets to a status."""

    hours: float
    code: int


_DEPOSITS = (Step(1, 2), Step(4, 3), Step(24, 8), Step(72, 9), Step(240, 10), Step(480, 11))
COURSES: Sequence[Sequence[Step]] = (
    _DEPOSITS,
    (*_DEPOSITS, Step(720, 12)),
    (Step(1, 2), Step(3, 3), Step(30, 8), Step(200, 6)),
    (Step(1, 2), Step(5, 4), Step(48, 5), Step(50, 3), Step(96, 9)),
    (Step(1, 2), Step(5, 4), Step(48, 5), Step(96, 6)),
    (Step(2, 2), Step(6, 3), Step(8, 6)),
    (Step(1, 2), Step(2, 7)),
)


class Lives:
    """Moves leads along their courses as the time passes."""

    def __init__(self, seed: int, pace: float) -> None:
        """Choose courses by a seed; pace: how many times faster than life, 0 stands still."""
        self._seed = seed
        self._pace = pace

    def course(self, account: TradingAccount) -> Sequence[Step]:
        """Return the course of an account: always the same for one id."""
        key = f"{self._seed}:{account.id}".encode()
        return COURSES[int.from_bytes(blake2b(key, digest_size=4).digest()) % len(COURSES)]

    def live(self, account: TradingAccount, now: datetime) -> None:
        """Bring an account to where it is by now; one that a person moved stays there."""
        if account.by_hand or not self._pace:
            return
        for step in self.course(account)[account.steps :]:
            at = account.created + timedelta(hours=step.hours / self._pace)
            if at > now:
                return
            move(account, step.code, at)
            account.steps += 1


def move(account: TradingAccount, code: int, at: datetime) -> None:
    """Give an account a status; a demo has a trading account, and a first deposit stays one."""
    account.code, account.modified = code, at
    account.status = STATUSES.get(code, f"Status {code}")
    if code in {_DEMO, _FTD} and not account.tp_account:
        account.tp_account = f"MT4-{100_000 + account.id}"
    if code == _FTD:
        account.ftd = True
