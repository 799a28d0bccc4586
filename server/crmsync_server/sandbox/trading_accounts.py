"""The accounts that a simulated broker holds, found by id, by email, and by when they came in."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.wire import JsonObject, normalize_email

_TEXTS = ("firstName", "lastName", "email", "phone", "isoCountry", "language", "ip", "campaignId")


@dataclass(slots=True)
class TradingAccount:
    """A lead of the broker's.

    steps: how far it is on its course; by_hand: whether a person has moved it.
    """

    id: int
    values: dict[str, str]
    transaction_id: str
    created: datetime
    modified: datetime
    code: int = 1
    status: str = "New"
    ftd: bool = False
    tp_account: str = ""
    currency: str = "USD"
    steps: int = 0
    by_hand: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """Return the account as the API shows it."""
        return {
            "id": self.id,
            "firstName": self.values.get("firstName", ""),
            "lastName": self.values.get("lastName", ""),
            "email": self.values.get("email", ""),
            "phone": self.values.get("phone", ""),
            "leadStatusCode": self.code,
            "leadStatus": self.status,
            "ftdExists": self.ftd,
            "tpAccount": self.tp_account or None,
            "currency": self.currency,
            "createdOn": isoformat(self.created),
            "modifiedOn": isoformat(self.modified),
            "country": self.values.get("isoCountry", ""),
            "affiliateTransactionId": self.transaction_id,
            "affiliate": "sandbox",
            "campaignId": self.values.get("campaignId", ""),
            "tag": self.values.get("tag", ""),
            **self.extra,
        }


class TradingAccounts:
    """All accounts of one affiliate."""

    def __init__(self, clock: Clock) -> None:
        """Start without any."""
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._held: dict[int, TradingAccount] = {}
        self._by_transaction: dict[str, list[int]] = defaultdict(list)
        self._by_email: dict[str, list[int]] = defaultdict(list)
        self._by_time: list[tuple[datetime, int]] = []
        self._last = 1000

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._held)

    def __iter__(self) -> Iterator[TradingAccount]:
        """Yield them, oldest id first."""
        return iter(self._held.values())

    def __getitem__(self, number: int) -> TradingAccount:
        """Return the one of an id; raises KeyError."""
        return self._held[number]

    def add(
        self, values: Mapping[str, Any], transaction_id: str, created: datetime | None = None
    ) -> TradingAccount:
        """Add an account, also a second one of the same transaction id."""
        self._last += 1
        at = created or self._clock()
        told = {name: str(values[name]) for name in (*_TEXTS, "tag") if values.get(name)}
        account = TradingAccount(self._last, told, transaction_id, at, at)
        self._held[account.id] = account
        self._by_transaction[transaction_id].append(account.id)
        self._by_email[normalize_email(told.get("email", ""))].append(account.id)
        insort(self._by_time, (at, account.id))
        return account

    def of_transactions(self, transaction_ids: Sequence[str]) -> list[TradingAccount]:
        """Return those that were registered with one of these ids."""
        numbers = [one for key in dict.fromkeys(transaction_ids) for one in self._numbers(key)]
        return [self._held[number] for number in numbers]

    def of_email(self, email: str) -> list[TradingAccount]:
        """Return those of an email, in any case."""
        return [self._held[one] for one in self._by_email.get(normalize_email(email), ())]

    def between(self, low: datetime | None, high: datetime | None) -> list[TradingAccount]:
        """Return those that came in from one time on and before another, oldest first."""
        start = bisect_left(self._by_time, (low, 0)) if low else 0
        end = bisect_left(self._by_time, (high, 0)) if high else len(self._by_time)
        return [self._held[number] for _, number in self._by_time[start:end]]

    def _numbers(self, transaction_id: str) -> Sequence[int]:
        return self._by_transaction.get(transaction_id, ())
