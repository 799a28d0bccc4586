"""HubSpot: contacts in batches of 100, by record id where it is known, else by email.

Facts this file stands on: replies name inputs by objectWriteTraceId, not by place; a batch
may be all-or-nothing; record ids retire on merges; the day ends at the portal's midnight.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import Caller, caller, checked, credential, number, patience
from crmsync_server.crm.hubspot_access import Authorized, OAuth, application
from crmsync_server.crm.hubspot_check import standing
from crmsync_server.crm.hubspot_day import BURST, DAILY, SEARCH
from crmsync_server.crm.hubspot_delete import Delete
from crmsync_server.crm.hubspot_directory import HubSpotDirectory
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_push import Push
from crmsync_server.crm.hubspot_reads import found_back
from crmsync_server.crm.hubspot_source import HubSpotSource
from crmsync_server.crm.hubspot_webhooks import HubSpotWebhooks
from crmsync_server.crm.hubspot_writes import MAX_BATCH
from crmsync_server.crm.names import secret_ones
from crmsync_server.crm.outcomes import Outcome, Synced, Unknown

# How long a push may start calls; the last one may take its whole time, and so may asking
# for the time zone after it.
_STARTING = timedelta(seconds=90)
_PARTIAL, _ALL = "partial", "all"
_OVERLAP_SECONDS = 300
_LONGEST_OVERLAP = 86_400


def build(account: Account, tools: Tools) -> "HubSpot":
    """Build the adapter of one portal.

    Secret `token`, of a private app; or `client_id`, `client_secret` and `refresh_token` of an
    application that was authorized by OAuth. `client_secret` beside a token verifies webhooks.

    Options `burst_calls` (per 10 s, default 190), `daily_calls` (default 625000), `search_calls`
    (per second, default 5), `search_overlap_seconds` (how long a search may miss a change, default
    300), `portal_id` (check() refuses any other), `timeout_seconds` (default 30) and
    `look_up`: whether only contacts of which something is left out (`partial`, the default) or
    `all` that have no record id are looked up by address first, at one more call for a hundred.
    Raises ValueError naming what is wrong.
    """
    called = replace(account, secrets=secret_ones(account.secrets))
    secrets = application(account)
    oauth = OAuth(caller("HubSpot", called, tools, {}), secrets) if secrets else None
    calls = _calls(called, tools, oauth)
    portal = Portal(calls, looks_up_all=_looks_up_all(account))
    overlap = number(account, "search_overlap_seconds", _OVERLAP_SECONDS, _LONGEST_OVERLAP)
    return HubSpot(
        portal,
        _capabilities(account, calls, oauth),
        oauth,
        source=HubSpotSource(portal, timedelta(seconds=overlap)),
        webhooks=HubSpotWebhooks(
            account.secrets.get("client_secret", "").strip(), account.options.get("portal_id", "")
        ),
    )


def _calls(account: Account, tools: Tools, oauth: OAuth | None) -> Caller:
    if oauth is None:
        headers = {"authorization": f"Bearer {credential(account, 'token')}"}
        return caller("HubSpot", account, tools, headers)
    return Authorized("HubSpot", account, tools, {}, patience(account), oauth=oauth)


def _capabilities(account: Account, calls: Caller, oauth: OAuth | None) -> Capabilities:
    # The last call, and the zone; for an application a new token, and the call again.
    last_calls = 2 if oauth is None else 4
    return Capabilities(
        max_batch=MAX_BATCH,
        concurrency=4,
        requires_email=True,
        idempotent=True,
        push_timeout=_STARTING + last_calls * calls.total_timeout,
        read_back=True,
        delete=True,
        keeps_email=True,
        limits=(
            Limit(BURST, number(account, "burst_calls", 190), timedelta(seconds=10)),
            Limit(DAILY, number(account, "daily_calls", 625_000), timedelta(days=1)),
            Limit(SEARCH, number(account, "search_calls", 5), timedelta(seconds=1), delivers=False),
        ),
    )


def _looks_up_all(account: Account) -> bool:
    value = account.options.get("look_up", _PARTIAL)
    if value not in {_PARTIAL, _ALL}:
        msg = f"the option 'look_up' of the {account.crm} connection must be partial or all"
        raise ValueError(msg)
    return value == _ALL


class HubSpot:
    """One portal.

    source, directory, webhooks: what HubSpot offers besides being delivered to.
    """

    def __init__(
        self,
        portal: Portal,
        capabilities: Capabilities,
        oauth: OAuth | None,
        *,
        source: HubSpotSource,
        webhooks: HubSpotWebhooks,
    ) -> None:
        """Take the portal, and the application that speaks to it; nothing is called yet."""
        self._portal = portal
        self._capabilities = capabilities
        self._oauth = oauth
        self.source = source
        self.directory = HubSpotDirectory(portal, oauth)
        self.webhooks = webhooks

    @property
    def capabilities(self) -> Capabilities:
        """What HubSpot can do, with the limits of this portal's edition."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch: updates by record id, upserts by email, one outcome each."""
        return await Push(self._portal, self._guard()).run(batch)

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Move records into the recycle bin, by id or by email; one outcome each."""
        return await Delete(self._portal, self._guard()).run(batch)

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer Unknown: HubSpot applies at once and hands out no tickets."""
        return [Unknown(f"HubSpot knows no ticket {ticket[:40]}") for _ in batch]

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Read the records that these deliveries are for; a call or two for each hundred."""
        guard = self._guard()
        writes = await self._portal.writes(batch, guard)
        if isinstance(writes, Faulted):
            return [None] * len(batch)
        found = await guard.call(lambda: found_back(self._portal.records, writes))
        held = {} if isinstance(found, Faulted) else found
        return [held.get(at) for at in range(len(batch))]

    async def check(self) -> Standing:
        """Read the portal's details and one contact; the first alone proves no scope."""
        return await checked(standing(self._portal, self._oauth))

    def _guard(self) -> Guard:
        return Guard(self._portal.caller.tools.clock, _STARTING)
