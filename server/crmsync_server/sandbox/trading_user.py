"""Somebody at work at the broker, as tests need one: no call, no limit, no fault."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.trading_accounts import TradingAccount, TradingAccounts
from crmsync_server.sandbox.trading_lives import move


class TradingUser:
    """Takes leads in and moves them; what a person has moved does not move by itself any more.

    Leads are named by their transaction ids, of several the newest. KeyError for one that is none.
    """

    def __init__(self, accounts: TradingAccounts, clock: Clock) -> None:
        """Work with these accounts."""
        self._accounts = accounts
        self._clock = clock

    def add(
        self, transaction_id: str = "", *, email: str, created: datetime | None = None
    ) -> TradingAccount:
        """Take a lead in, also one that no affiliate sent."""
        values = {"firstName": "Ann", "lastName": "Other", "email": email}
        return self._accounts.add(values, transaction_id, created)

    def seed(self, transaction_ids: Iterable[str], created: datetime | None = None) -> None:
        """Take many leads in."""
        for transaction_id in transaction_ids:
            self.add(transaction_id, email=f"{transaction_id}@example.com", created=created)

    def move(self, transaction_id: str, code: int, *, tp_account: str = "") -> None:
        """Give a lead a status, also one without a name; 9 is a first deposit."""
        account = self._lead(transaction_id)
        move(account, code, self._clock())
        account.by_hand = True
        account.tp_account = tp_account or account.tp_account

    def edit(self, transaction_id: str, **values: Any) -> None:  # noqa: ANN401 - whatever the API shows
        """Show other values of a lead, by the API's names, whatever they are."""
        account = self._lead(transaction_id)
        account.extra |= values
        account.modified = self._clock()
        account.by_hand = True

    def take_back(self, transaction_id: str) -> None:
        """Say that there was no deposit after all, as a charge-back does."""
        account = self._lead(transaction_id)
        account.ftd, account.modified, account.by_hand = False, self._clock(), True

    def _lead(self, transaction_id: str) -> TradingAccount:
        found = self._accounts.of_transactions([transaction_id])
        if not found:
            raise KeyError(transaction_id)
        return found[-1]
