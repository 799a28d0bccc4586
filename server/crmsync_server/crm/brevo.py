"""Brevo: few contacts one by one, many by an asynchronous import that is settled later.

The id that is kept for a contact is its address: a changed address is then recognised, and
Brevo's other identifiers need not be asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

from crmsync_server.crm import brevo_delete, brevo_import, brevo_single
from crmsync_server.crm.adapter import Account, Capabilities, Delivery, Limit, Standing, Tools
from crmsync_server.crm.bisect import Answer, deliver
from crmsync_server.crm.brevo_attributes import Attributes
from crmsync_server.crm.brevo_back import found_back
from crmsync_server.crm.brevo_calls import ACCOUNT_REFUSED, Brevo, refused
from crmsync_server.crm.brevo_directory import BrevoDirectory
from crmsync_server.crm.brevo_limits import CONTACTS, CONTACTS_HOURLY, OTHER, AccountLimits
from crmsync_server.crm.brevo_rows import Row, row
from crmsync_server.crm.brevo_settle import Settlement
from crmsync_server.crm.brevo_source import BrevoSource
from crmsync_server.crm.brevo_webhooks import BrevoWebhooks
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.fanout import fan_out
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import caller, checked, credential, gave_no_answer, number
from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from crmsync_server.crm.replies import Reply, text

_IMPORT_BATCH = 5_000
_SINGLE_BATCH = 100
# How long a push may start calls; each may take its whole time, and reads attributes before.
_STARTING = timedelta(seconds=90)
_HOUR = timedelta(hours=1)
_SAME_ADDRESS_WAIT = timedelta(minutes=1)


def build(account: Account, tools: Tools) -> "BrevoAdapter":
    """Build the adapter of one account.

    Secrets `api_key`, and `webhook_token`, by which webhooks are known as Brevo's.
    Options: `webhook_header`, which has that token if it is not the bearer's;
    `list_id`, the list that contacts join and imports need;
    `import_threshold` (default 50), from how many contacts on an import is used; `notify_url`,
    which Brevo calls after an import; `timeout_seconds` (default 30); `contacts_calls` (per
    second, default 10), `contacts_hourly_calls` (default 36000) and `other_calls` (per hour,
    default 100).
    Raises ValueError naming what is wrong.
    """
    headers = {"api-key": credential(account, "api_key")}
    list_id = number(account, "list_id", 0) or None
    limits = (
        Limit(CONTACTS, number(account, "contacts_calls", 10), timedelta(seconds=1)),
        Limit(CONTACTS_HOURLY, number(account, "contacts_hourly_calls", 36_000), _HOUR),
        Limit(OTHER, number(account, "other_calls", 100), _HOUR),
    )
    account_calls = caller("Brevo", account, tools, headers)
    calls = Brevo(replace(account_calls, limits=AccountLimits(limits)), list_id)
    capabilities = Capabilities(
        max_batch=_IMPORT_BATCH if list_id else _SINGLE_BATCH,
        concurrency=2,
        requires_email=True,
        idempotent=True,
        push_timeout=_STARTING + 2 * calls.caller.total_timeout,
        limits=limits,
        read_back=True,
        delete=True,
    )
    threshold = number(account, "import_threshold", 50)
    return BrevoAdapter(calls, capabilities, threshold, BrevoWebhooks(account))


class BrevoAdapter:
    """One account.

    source, directory and webhooks: what Brevo offers besides taking contacts.
    """

    def __init__(
        self,
        brevo: Brevo,
        capabilities: Capabilities,
        import_threshold: int,
        webhooks: BrevoWebhooks,
    ) -> None:
        """Take the account's calls; nothing is called yet."""
        self._brevo = brevo
        self._capabilities = capabilities
        self._import_threshold = import_threshold
        self._attributes = Attributes(brevo)
        self.source = BrevoSource(brevo, self._attributes)
        self.directory = BrevoDirectory(brevo, self._attributes)
        self.webhooks = webhooks

    @property
    def capabilities(self) -> Capabilities:
        """What Brevo can do; batches are large when there is a list to import into."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch, by an import or one by one; one outcome each."""
        guard = self._guard()
        sendable = [at for at, delivery in enumerate(batch) if deliverable(delivery.email)]
        outcomes: dict[int, Outcome] = {}
        if sendable:
            types = await guard.call(self._attributes.types)
            if isinstance(types, Faulted):
                outcomes.update(dict.fromkeys(sendable, types.outcome))
            else:
                rows = [row(at, batch[at], types) for at in sendable]
                outcomes.update(await _Push(self._brevo, guard, self._import_threshold).run(rows))
        guard.conclude(outcomes.values())
        skipped = Skipped(SkipReason.NO_EMAIL)
        return [outcomes.get(at, skipped) for at in range(len(batch))]

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Remove contacts one by one, each known by our id or by its address; one outcome each."""
        guard = self._guard()

        async def send(one: Delivery) -> Outcome | Faulted[Outcome]:
            return await guard.call(lambda: brevo_delete.delete(self._brevo, one))

        outcomes: list[Outcome] = await fan_out(batch, send)
        guard.conclude(outcomes)
        return outcomes

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask once what became of an import; Accepted again while Brevo still works.

        Raises CredentialsRefusedError; the ticket stays good.
        """
        guard = self._guard()
        try:
            settlement = Settlement(self._brevo, brevo_import.Ticket.decode(ticket), guard)
        except ValueError:
            return [Unknown("the import's ticket cannot be read")] * len(batch)
        types = await guard.call(self._attributes.types)
        guard.conclude(())
        if isinstance(types, Faulted):
            return settlement.later(types.outcome, len(batch))
        return await settlement.run([row(at, item, types) for at, item in enumerate(batch)])

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Read the contacts one by one; more than a hundred are not worth so many calls.

        A batch of that size went by import, and goes so again for one call.
        """
        sendable = [at for at, delivery in enumerate(batch) if deliverable(delivery.email)]
        guard = self._guard()
        found: Mapping[int, Synced] = {}
        if len(sendable) <= _SINGLE_BATCH:
            types = await guard.call(self._attributes.types)
            if not isinstance(types, Faulted):
                rows = [row(at, batch[at], types) for at in sendable]
                found = await found_back(self._brevo, guard, rows)
        return [found.get(at) for at in range(len(batch))]

    async def check(self) -> Standing:
        """Read one contact: the account itself is in the class of 100 calls an hour."""
        return await checked(self._standing())

    async def _standing(self) -> Standing:
        reply = await self._brevo.contacts("GET", params={"limit": "1"})
        if not isinstance(reply, Reply):
            return Standing(valid=False, message=reply.message, reachable=False)
        if reply.status in ACCOUNT_REFUSED:
            return Standing(valid=False, message=str(refused(reply)))
        if reply.status != HTTPStatus.OK or "count" not in reply.fields:
            message = f"Brevo answered {reply.status}: {reply.text}"
            return Standing(valid=False, message=message, reachable=not gave_no_answer(reply))
        count = text(reply.fields.get("count"))
        return Standing(valid=True, message=f"Brevo account with {count} contacts")

    def _guard(self) -> Guard:
        return Guard(self._brevo.now, _STARTING)


class _Push:
    """One push under way."""

    def __init__(self, brevo: Brevo, guard: Guard, import_threshold: int) -> None:
        self._brevo = brevo
        self._guard = guard
        self._import_threshold = import_threshold

    async def run(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        """Deliver the rows; outcomes by position."""
        first, again = _apart(rows)
        importable = [row for row in first if not _is_for_itself(row)]
        if self._brevo.list_id is None or len(importable) < self._import_threshold:
            return await self._singly(rows)
        apart = [row for row in first if _is_for_itself(row)]
        # A row for the same address must not overtake the import: it waits for a later push.
        until = self._brevo.now() + _SAME_ADDRESS_WAIT
        later = Postponed(until, "SAME_ADDRESS", "another import has it", lane=False)
        waiting = dict.fromkeys((row.position for row in again), later)
        return {**await self._import(importable), **await self._singly(apart), **waiting}

    async def _import(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        found: dict[int, Outcome] = {}
        for portion in brevo_import.portions(rows):
            outcomes = await deliver(portion, self._send_import)
            found.update({row.position: o for row, o in zip(portion, outcomes, strict=True)})
        return found

    async def _send_import(self, rows: Sequence[Row]) -> Answer[Outcome]:
        return await self._guard.call(lambda: brevo_import.start(self._brevo, rows))

    async def _singly(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        """Deliver rows side by side, those that repeat an address after the first of it."""
        found: dict[int, Outcome] = {}
        waiting = list(rows)
        while waiting:
            first, waiting = _apart(waiting)
            outcomes: list[Outcome] = await fan_out(first, self._send_single)
            found.update({row.position: o for row, o in zip(first, outcomes, strict=True)})
        return found

    async def _send_single(self, row: Row) -> Outcome | Faulted[Outcome]:
        return await self._guard.call(lambda: brevo_single.upsert(self._brevo, row))


def _is_for_itself(row: Row) -> bool:
    """Tell whether a row goes by a call of its own although others are imported.

    An import may take a changed address for a second contact. It clears attributes only if it
    does so for all its rows, and perhaps then for those that a row does not even mention.
    """
    return bool(row.former_email) or row.clears


def _apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Divide rows into the first of each address, and those that repeat one."""
    first: dict[str, Row] = {}
    again: list[Row] = []
    for one in rows:
        if one.email in first:
            again.append(one)
        else:
            first[one.email] = one
    return list(first.values()), again
