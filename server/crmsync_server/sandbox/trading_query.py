"""Queries of a simulated broker: bracketed filters, a limit, and an order."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crmsync_server.sandbox.trading_accounts import TradingAccount, TradingAccounts

_NAME = re.compile(r"(WHERE|LIMIT|ORDER)\[([A-Za-z]+)\](\[(|min|max)\])?")
_MOST = 500
_DAY = timedelta(days=1)


class QueryError(ValueError):
    """A filter that the broker does not know; the text says which."""


@dataclass(slots=True)
class Query:
    """What is asked for; None leaves a condition out.

    transaction_ids, email: exact. low, high: when it came in. skip: as it was asked.
    """

    transaction_ids: list[str] = field(default_factory=list)
    email: str | None = None
    low: datetime | None = None
    high: datetime | None = None
    skip: int = 0
    take: int = _MOST
    descending: bool = False

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> "Query":
        """Read the parameters of an address; raises QueryError."""
        query = cls()
        for name, value in parameters:
            found = _NAME.fullmatch(name)
            if found is None:
                message = f"Unknown parameter {name}"
                raise QueryError(message)
            clause, column, bracket, bound = found.groups()
            query._take(clause, column, bound if bracket else None, value)
        return query

    def _take(self, clause: str, column: str, bound: str | None, value: str) -> None:
        match clause, column, bound:
            case "WHERE", "affiliateTransactionId", None | "":
                self.transaction_ids.append(value)
            case "WHERE", "email", None:
                self.email = value
            case "WHERE", "createdOn", "min":
                self.low = _day(value)
            case "WHERE", "createdOn", "max":
                self.high = _day(value) + _DAY
            case "LIMIT", "Take", None:
                self.take = min(_number(value), _MOST)
            case "LIMIT", "Skip", None:
                self.skip = _number(value)
            case "ORDER", "sortOrder", None:
                self.descending = value.upper() == "DESC"
            case _:
                message = f"Unknown filter {clause}[{column}]"
                raise QueryError(message)

    def matching(self, accounts: TradingAccounts) -> list[TradingAccount]:
        """Return all accounts that match, in the order that was asked for."""
        if self.transaction_ids:
            found = accounts.of_transactions(self.transaction_ids)
        elif self.email is not None:
            found = accounts.of_email(self.email)
        else:
            found = accounts.between(self.low, self.high)
        ordered = sorted(found, key=lambda one: (one.created, one.id), reverse=self.descending)
        return [one for one in ordered if self._matches(one)]

    def _matches(self, account: TradingAccount) -> bool:
        return (self.low is None or account.created >= self.low) and (
            self.high is None or account.created < self.high
        )

    def page(self, accounts: TradingAccounts, skip_base: int) -> list[TradingAccount]:
        """Return the page; skip_base: from which number the broker counts."""
        start = max(0, self.skip - skip_base)
        return self.matching(accounts)[start : start + self.take]


def _day(value: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        message = f"Not a date: {value}"
        raise QueryError(message) from error


def _number(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        message = f"Not a number: {value}"
        raise QueryError(message)
    return int(value)
