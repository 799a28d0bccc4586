"""HubSpot: contacts in batches of 100, by record id where it is known, else by email.

Facts this file stands on: replies name inputs by objectWriteTraceId, not by place; a batch
may be all-or-nothing; record ids retire on merges; the day ends at the portal's midnight.
"""

from collections.abc import Sequence
from dataclasses import replace
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
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import Caller, Fault, caller, credential, gave_no_answer, number
from crmsync_server.crm.hubspot_day import BUCKETS, BURST, DAILY, DETAILS, PortalLimits, Zone
from crmsync_server.crm.hubspot_errors import Result, credentials_error
from crmsync_server.crm.hubspot_properties import Names, PropertyNames
from crmsync_server.crm.hubspot_reads import Records, found_back
from crmsync_server.crm.hubspot_replies import answer
from crmsync_server.crm.hubspot_writes import (
    CONTACTS,
    MAX_BATCH,
    Write,
    body,
    calls,
    custom,
    is_partial,
    path,
)
from crmsync_server.crm.outcomes import Outcome, Postponed, Skipped, SkipReason, Synced, Unknown
from crmsync_server.crm.replies import Reply, text

# How long a push may start calls; the last one may take its whole time, and so may asking
# for the time zone after it.
_STARTING = timedelta(seconds=90)


def build(account: Account, tools: Tools) -> "HubSpot":
    """Build the adapter of one portal.

    Secret `token`; options `burst_calls` (per 10 s, default 190), `daily_calls` (default
    625000), `portal_id` (check() refuses any other) and `timeout_seconds` (default 30).
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
    return HubSpot(portal_calls, capabilities)


class HubSpot:
    """One portal."""

    def __init__(self, caller: Caller, capabilities: Capabilities) -> None:
        """Take the portal's caller; nothing is called yet."""
        self._zone = Zone(caller)
        self._limits = PortalLimits(self._zone)
        self._caller = replace(caller, limits=self._limits)
        self._capabilities = capabilities
        self._property_names = PropertyNames(self._caller, BUCKETS, self.postponed)
        self.records = Records(self._caller, BUCKETS, self.postponed)

    @property
    def capabilities(self) -> Capabilities:
        """What HubSpot can do, with the limits of this portal's edition."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch: updates by record id, upserts by email, one outcome each."""
        return await _Push(self, self._caller).run(batch)

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer Unknown: HubSpot applies at once and hands out no tickets."""
        return [Unknown(f"HubSpot knows no ticket {ticket[:40]}") for _ in batch]

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Read the records that these deliveries are for; a call or two for each hundred."""
        guard = Guard(self._caller.tools.clock, _STARTING)
        writes = await self.writes(batch, guard)
        if isinstance(writes, Faulted):
            return [None] * len(batch)
        found = await guard.call(lambda: found_back(self.records, writes))
        held = {} if isinstance(found, Faulted) else found
        return [held.get(at) for at in range(len(batch))]

    async def check(self) -> Standing:
        """Read the portal's details and one contact; the first alone proves no scope."""
        details = await self._caller.call("GET", DETAILS, buckets=BUCKETS)
        if not isinstance(details, Reply) or details.status != HTTPStatus.OK:
            return _not_standing(details)
        portal_id = text(details.fields.get("portalId"))
        self._zone.learn(details)
        expected = self._caller.account.options.get("portal_id", portal_id)
        if not portal_id or portal_id != expected:
            return Standing(valid=False, message=f"the token belongs to portal {portal_id or '?'}")
        one = {"limit": "1"}
        contacts = await self._caller.call("GET", CONTACTS, buckets=BUCKETS, params=one)
        if not isinstance(contacts, Reply) or contacts.status != HTTPStatus.OK:
            return _not_standing(contacts)
        return Standing(valid=True, message=f"HubSpot portal {portal_id}", account_id=portal_id)

    async def postponed(self, reply: Reply) -> Postponed:
        """Read a reply with one of `hubspot_limits.WAITING`."""
        return await self._limits.postponed(reply, self._caller.tools.clock())

    async def writes(
        self, batch: Sequence[Delivery], guard: Guard
    ) -> list[Write] | Faulted[Outcome]:
        """Return what is to be written, without the deliveries that have no address."""
        sendable = [at for at, delivery in enumerate(batch) if deliverable(delivery.email)]
        addressed = [batch[at] for at in sendable]
        names = await guard.call(lambda: self._names_for(addressed))
        if isinstance(names, Faulted):
            return names
        return [_write(at, batch[at], names) for at in sendable]

    async def prepare(self) -> None:
        """Find out what can only be found out before the day's allowance is used up."""
        await self._limits.prepare()

    async def _names_for(self, batch: Sequence[Delivery]) -> Names | Faulted[Outcome]:
        """Return the portal's property names; not asked for where no contact has its own."""
        if not any(custom(delivery) for delivery in batch):
            return Names()
        return await self._property_names.read()


def _not_standing(found: Reply | Fault) -> Standing:
    if not isinstance(found, Reply):
        return Standing(valid=False, message=found.message, reachable=False)
    if found.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Standing(valid=False, message=str(credentials_error(found)))
    # One that migrates or is locked does not say anything about the token either.
    waits = gave_no_answer(found) or found.status in limits.WAITING
    message = f"HubSpot answered {found.status}: {found.text}"
    return Standing(valid=False, message=message, reachable=not waits)


def _write(position: int, delivery: Delivery, names: Names) -> Write:
    own = custom(delivery)
    return Write(
        position,
        delivery,
        deliverable(delivery.email),
        delivery.crm_contact_id or "",
        properties=names.kept(own),
        note=names.note(own),
    )


def _is_unsure(write: Write) -> bool:
    return not write.record_id and is_partial(write)


class _Push:
    """One push under way."""

    def __init__(self, portal: HubSpot, caller: Caller) -> None:
        self._portal = portal
        self._caller = caller
        self._guard = Guard(caller.tools.clock, _STARTING)

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        await self._portal.prepare()
        writes = await self._portal.writes(batch, self._guard)
        if isinstance(writes, Faulted):
            sendable = [at for at, one in enumerate(batch) if deliverable(one.email)]
            outcomes.update(dict.fromkeys(sendable, writes.outcome))
        pending: Sequence[Write] = [] if isinstance(writes, Faulted) else writes
        while pending:
            pending = await self._round(await self._aimed(pending, outcomes), outcomes)
        self._guard.conclude(outcomes.values())
        skipped = Skipped(SkipReason.NO_EMAIL)
        return [outcomes.get(at, skipped) for at in range(len(batch))]

    async def _aimed(
        self, writes: Sequence[Write], outcomes: dict[int, Outcome]
    ) -> Sequence[Write]:
        """Return the writes with those that leave something out aimed at records, where there are.

        HubSpot supports no partial upsert by email, and does not say what one does to the values
        that it leaves out. An update by record id surely keeps them.
        """
        emails = {write.email for write in writes if _is_unsure(write)}
        if not emails:
            return writes
        found = await self._guard.call(lambda: self._portal.records.read(emails, (), by_email=True))
        if isinstance(found, Faulted):
            unsure = [write.position for write in writes if _is_unsure(write)]
            outcomes.update(dict.fromkeys(unsure, found.outcome))
            return [write for write in writes if not _is_unsure(write)]
        ids = {email: record.id for record in found for email in record.emails}
        return [
            write.found(ids[write.email]) if _is_unsure(write) and write.email in ids else write
            for write in writes
        ]

    async def _round(
        self, writes: Sequence[Write], outcomes: dict[int, Outcome]
    ) -> Sequence[Write]:
        """Make the calls for these writes; returns the ones that must go another way."""
        turned: list[Write] = []
        for call in calls(writes):
            for write, result in zip(call, await deliver(call, self._send), strict=True):
                if isinstance(result, Write):
                    turned.append(result)
                else:
                    outcomes[write.position] = result
        return turned

    async def _send(self, call: Sequence[Write]) -> Answer[Result]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(
        self, call: Sequence[Write]
    ) -> Sequence[Result] | Refused[Result] | Faulted[Outcome]:
        reply = await self._caller.call("POST", path(call), buckets=BUCKETS, json=body(call))
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status not in limits.WAITING:
            return answer(call, reply)
        postponed = await self._portal.postponed(reply)
        # A lock holds only the records of this call; anything else holds the whole account.
        return Faulted(postponed) if postponed.lane else [postponed] * len(call)
