"""The Trading CRM: a broker's affiliate API ("api-version 4.0"), which takes signups.

Facts this file stands on: there is no public contract; leads are asked for by the id that they were
registered with, many to a call; registering is not idempotent; errors may be no JSON. It keeps
leads, not contacts: contacts are not pushed to it, and what it offers is `leads`.

Secrets: `username` and `password`, which give a token for a day, or `token`, a key that the broker
handed out.

The base URL is the broker's own (`https://crm.broker.example:4477`).

Options:
    calls_per_second: how many calls it is asked in a second (default 10; it tells no limits).
    timeout_seconds: the longest silence while it answers (default 30).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import Caller, checked, number, patience
from crmsync_server.crm.names import secret_ones
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced
from crmsync_server.crm.trading_access import BUCKET, access
from crmsync_server.crm.trading_calls import HEADERS, Trading
from crmsync_server.crm.trading_leads import TradingLeads

_CALLS_PER_SECOND = 10
_NO_CONTACTS = (
    "the Trading CRM takes leads, not contacts: register one with LeadService.RegisterLead"
)


def build(account: Account, tools: Tools) -> "TradingAdapter":
    """Build the adapter of one account; raises ValueError naming what is missing or wrong."""
    base_url = account.base_url.rstrip("/")
    if urlsplit(base_url).query:
        msg = f"the URL of the {account.crm} connection must be without a query (?…)"
        raise ValueError(msg)
    called = replace(account, base_url=base_url, secrets=secret_ones(account.secrets))
    caller = Caller("the Trading CRM", called, tools, HEADERS, patience(account))
    calls = number(account, "calls_per_second", _CALLS_PER_SECOND)
    capabilities = Capabilities(
        max_batch=1,
        concurrency=1,
        requires_email=True,
        idempotent=True,
        push_timeout=3 * caller.total_timeout,
        limits=(Limit(BUCKET, calls, timedelta(seconds=1), delivers=False),),
        takes_contacts=False,
        keeps_leads=True,
    )
    return TradingAdapter(Trading(caller, access(account, caller)), capabilities)


class TradingAdapter:
    """One account at a broker; leads: what it offers."""

    def __init__(self, trading: Trading, capabilities: Capabilities) -> None:
        """Take the account's calls; nothing is called yet."""
        self._trading = trading
        self._capabilities = capabilities
        self.leads = TradingLeads(trading)

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; contacts are not among it."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Reject every contact: there are only leads here. Nothing is called."""
        return [Rejected("NOT_SUPPORTED", _NO_CONTACTS) for _ in batch]

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Reject likewise: no ticket was ever handed out."""
        del ticket
        return await self.push(batch)

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Tell nothing: no contact was ever delivered."""
        return [None] * len(batch)

    async def check(self) -> Standing:
        """Ask for one lead, whichever it is."""
        return await checked(self._standing())

    async def _standing(self) -> Standing:
        try:
            found = await self._trading.ask([("LIMIT[Take]", "1")])
        except AddressRefusedError:
            raise
        except CredentialsRefusedError as refused:
            return Standing(valid=False, message=str(refused))
        if isinstance(found, Postponed | Retry):
            return Standing(valid=False, message=found.message, reachable=False)
        if isinstance(found, Rejected):
            return Standing(valid=False, message=found.message, code=found.code)
        return Standing(valid=True, message="the Trading CRM shows its leads")
