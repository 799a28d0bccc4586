"""HubSpot: contacts in batches of 100, by record id where it is known, else by email.

Facts this file stands on: replies name inputs by objectWriteTraceId, not by place; a batch
may be all-or-nothing; record ids retire on merges; the day ends at the portal's midnight.
"""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from crmsync_server.crm import hubspot_limits as limits
from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import Fault, caller, checked, credential, gave_no_answer, number
from crmsync_server.crm.hubspot_day import BUCKETS, BURST, DAILY, DETAILS
from crmsync_server.crm.hubspot_errors import credentials_error
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_push import Push
from crmsync_server.crm.hubspot_reads import found_back
from crmsync_server.crm.hubspot_writes import CONTACTS, MAX_BATCH
from crmsync_server.crm.outcomes import Outcome, Synced, Unknown
from crmsync_server.crm.replies import Reply, text

# How long a push may start calls; the last one may take its whole time, and so may asking
# for the time zone after it.
_STARTING = timedelta(seconds=90)
_PARTIAL, _ALL = "partial", "all"


def build(account: Account, tools: Tools) -> "HubSpot":
    """Build the adapter of one portal.

    Secret `token`; options `burst_calls` (per 10 s, default 190), `daily_calls` (default
    625000), `portal_id` (check() refuses any other), `timeout_seconds` (default 30) and
    `look_up`: whether only contacts of which something is left out (`partial`, the default) or
    `all` that have no record id are looked up by address first, at one more call for a hundred.
    Raises ValueError naming what is wrong.
    """
    headers = {"authorization": f"Bearer {credential(account, 'token')}"}
    portal_calls = caller("HubSpot", account, tools, headers)
    capabilities = Capabilities(
        max_batch=MAX_BATCH,
        concurrency=4,
        requires_email=True,
        idempotent=True,
        push_timeout=_STARTING + 2 * portal_calls.total_timeout,
        read_back=True,
        limits=(
            Limit(BURST, number(account, "burst_calls", 190), timedelta(seconds=10)),
            Limit(DAILY, number(account, "daily_calls", 625_000), timedelta(days=1)),
        ),
    )
    portal = Portal(portal_calls, looks_up_all=_looks_up_all(account))
    return HubSpot(portal, capabilities)


def _looks_up_all(account: Account) -> bool:
    value = account.options.get("look_up", _PARTIAL)
    if value not in {_PARTIAL, _ALL}:
        msg = f"the option 'look_up' of the {account.crm} connection must be partial or all"
        raise ValueError(msg)
    return value == _ALL


class HubSpot:
    """One portal."""

    def __init__(self, portal: Portal, capabilities: Capabilities) -> None:
        """Take the portal; nothing is called yet."""
        self._portal = portal
        self._capabilities = capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What HubSpot can do, with the limits of this portal's edition."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch: updates by record id, upserts by email, one outcome each."""
        return await Push(self._portal, self._guard()).run(batch)

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
        return await checked(self._standing())

    async def _standing(self) -> Standing:
        caller = self._portal.caller
        details = await caller.call("GET", DETAILS, buckets=BUCKETS)
        if not isinstance(details, Reply) or details.status != HTTPStatus.OK:
            return _not_standing(details)
        portal_id = text(details.fields.get("portalId"))
        self._portal.zone.learn(details)
        expected = caller.account.options.get("portal_id", portal_id)
        if not portal_id or portal_id != expected:
            return Standing(valid=False, message=f"the token belongs to portal {portal_id or '?'}")
        one = {"limit": "1"}
        contacts = await caller.call("GET", CONTACTS, buckets=BUCKETS, params=one)
        if not isinstance(contacts, Reply) or contacts.status != HTTPStatus.OK:
            return _not_standing(contacts)
        return Standing(valid=True, message=f"HubSpot portal {portal_id}", account_id=portal_id)

    def _guard(self) -> Guard:
        return Guard(self._portal.caller.tools.clock, _STARTING)


def _not_standing(found: Reply | Fault) -> Standing:
    if not isinstance(found, Reply):
        return Standing(valid=False, message=found.message, reachable=False)
    if found.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Standing(valid=False, message=str(credentials_error(found)))
    # One that migrates or is locked does not say anything about the token either.
    waits = gave_no_answer(found) or found.status in limits.WAITING
    message = f"HubSpot answered {found.status}: {found.text}"
    return Standing(valid=False, message=message, reachable=not waits)
