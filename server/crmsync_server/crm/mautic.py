"""Mautic: contacts of a self-hosted instance, in batches that create or change by email.

Facts this file stands on: the API and Basic authentication are off until somebody turns them
on; a batch is answered with 201 even if every record failed; there is no transaction, so that a
lost answer leaves some records applied, and delivering again by email is safe.

Secrets: `username` and `password`, or for OAuth2 `client_id` and `client_secret`, with
`refresh_token` where a user authorized the application instead of the application itself. The
refresh token rotates: the one given is only the first. `webhook_secret`: what Mautic signs its
webhooks with.

The base URL is the instance's own (`https://mautic.example.com`), with or without `/api`.

Options:
    batch_size: contacts in one call (default 50; Mautic takes 200 unless it is told otherwise,
        and is asked for less once it says so).
    hourly_calls: what the instance's `api_rate_limiter_limit` allows (default 18000, which
        spares an instance that sets none).
    timeout_seconds: the longest silence while Mautic answers (default 60: it saves contacts one
        by one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller, checked, number, patience
from crmsync_server.crm.mautic_access import access
from crmsync_server.crm.mautic_calls import Mautic
from crmsync_server.crm.mautic_check import standing
from crmsync_server.crm.mautic_delete import Delete
from crmsync_server.crm.mautic_directory import MauticDirectory
from crmsync_server.crm.mautic_limits import HOURLY, MauticLimits
from crmsync_server.crm.mautic_push import STARTING, Push
from crmsync_server.crm.mautic_rows import Row, email_of, holds, note, row
from crmsync_server.crm.mautic_source import MauticSource
from crmsync_server.crm.mautic_webhooks import MauticWebhooks
from crmsync_server.crm.names import secret_ones
from crmsync_server.crm.outcomes import Outcome, Synced, Unknown
from crmsync_server.crm.replies import text

_BATCH = 50
_LARGEST_BATCH = 1_000
_HOURLY_CALLS = 18_000
_READ_SECONDS = 60


def build(account: Account, tools: Tools) -> "MauticAdapter":
    """Build the adapter of one instance; raises ValueError naming the missing secret or option."""
    read = patience(account, _READ_SECONDS)
    base_url = account.base_url.rstrip("/").removesuffix("/api")
    called = replace(account, base_url=base_url, secrets=secret_ones(account.secrets))
    caller = Caller("Mautic", called, tools, {}, read, MauticLimits())
    batch = number(account, "batch_size", _BATCH, _LARGEST_BATCH)
    capabilities = Capabilities(
        max_batch=batch,
        # A self-hosted instance has few processes, and people who wait for them.
        concurrency=2,
        requires_email=True,
        idempotent=True,
        # The last call, a new token, and the call again.
        push_timeout=STARTING + 3 * caller.total_timeout,
        limits=(Limit(HOURLY, number(account, "hourly_calls", _HOURLY_CALLS), timedelta(hours=1)),),
        read_back=True,
        delete=True,
    )
    mautic = Mautic(caller, access(account, caller), batch)
    return MauticAdapter(mautic, capabilities, MauticWebhooks(account))


class MauticAdapter:
    """One instance.

    source, directory and webhooks: what Mautic offers besides taking contacts.
    """

    def __init__(
        self, mautic: Mautic, capabilities: Capabilities, webhooks: MauticWebhooks
    ) -> None:
        """Take the instance's calls; nothing is called yet."""
        self._mautic = mautic
        self._capabilities = capabilities
        self.source = MauticSource(mautic)
        self.directory = MauticDirectory(mautic)
        self.webhooks = webhooks

    @property
    def capabilities(self) -> Capabilities:
        """What Mautic can do, as the options set it."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch: changed addresses one by one, the others by email; one outcome each."""
        return await Push(self._mautic).run(batch)

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Remove contacts, by id or by email; one outcome each."""
        return await Delete(self._mautic).run(batch)

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer Unknown: Mautic applies at once and hands out no tickets."""
        return [Unknown(f"Mautic knows no ticket {ticket[:40]}") for _ in batch]

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Look for the contacts by email, and compare all that a delivery says of them."""
        rows = [row(at, delivery) for at, delivery in enumerate(batch)]
        try:
            found = await self._mautic.find("email", [one.email for one in rows if one.email])
        except CredentialsRefusedError:
            return [None] * len(batch)
        if isinstance(found, Faulted):
            return [None] * len(batch)
        # The newest comes last, and stays: Mautic too writes to that one.
        newest = {email_of(found[number]): found[number] for number in sorted(found)}
        return [_held(one, newest.get(one.email, {})) for one in rows]

    async def check(self) -> Standing:
        """Read the user and one contact; the first alone proves no permission."""
        return await checked(standing(self._mautic))


def _held(row: Row, contact: Mapping[str, object]) -> Synced | None:
    record_id = text(contact.get("id"))
    if not (row.email and record_id and holds(row, contact)):
        return None
    return Synced(record_id, note=note(row, contact))
