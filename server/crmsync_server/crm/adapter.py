"""The protocol that every CRM adapter speaks, and what an adapter is handed.

An adapter is built by a factory registered in the entry-point group `crmsync.adapters` under
the CRM's id. It holds no state that outlives it and knows neither database nor engine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import httpx

from crmsync_server.crm.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Delivery:
    """One contact to be delivered, as it was when the engine claimed it.

    crm_contact_id: the CRM's id from an earlier delivery, None when never delivered.
    attempt: rises with every claim of this contact at this CRM; with contact_id it names
        this delivery for ever (HubSpot's objectWriteTraceId, n8n's delivery id).
    properties: custom properties by the CRM's own name, values as text.
    """

    contact_id: UUID
    attempt: int
    crm_contact_id: str | None
    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    company: str = ""
    tags: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """One allowance of a CRM account: `calls` in any `period`, of one class of calls."""

    bucket: str
    calls: int
    period: timedelta


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a CRM can do, declared; what is not declared is not tried.

    max_batch: how many deliveries one push takes at most.
    concurrency: how many pushes of one account may be under way at once.
    requires_email: whether a contact without an email can be delivered at all.
    idempotent: whether pushing a contact again after an unknown outcome is safe.
    push_timeout: the longest a push may take; leases are longer than this.
    """

    max_batch: int
    concurrency: int
    requires_email: bool
    idempotent: bool
    push_timeout: timedelta
    limits: Sequence[Limit] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a check of the credentials found; nothing was written to find it."""

    valid: bool
    message: str
    account_id: str = ""


class CredentialsRefusedError(Exception):
    """The CRM refused the credentials: the lane pauses until they are replaced."""


class QuotaExhaustedError(Exception):
    """The allowance of a bucket is used up until a known time."""

    def __init__(self, bucket: str, until: datetime) -> None:
        """Name the bucket and when its next call is allowed."""
        super().__init__(f"the allowance {bucket} is used up until {until.isoformat()}")
        self.bucket = bucket
        self.until = until


class Quota(Protocol):
    """The account's shared allowance; every call to the CRM takes from it first."""

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Wait for the calls to be allowed, a few seconds at most.

        Raises QuotaExhaustedError when the wait would be longer.
        """


@dataclass(frozen=True, slots=True)
class Account:
    """An organization's account at a CRM.

    base_url: scheme, host and path prefix, without a trailing slash.
    secrets: credentials by name (`token`, `api_key`); never logged, hidden from repr.
    options: what the adapter needs to know besides (`list_id`), as text.
    """

    org_id: str
    crm: str
    base_url: str
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tools:
    """What an adapter works with: its client, its clock and its share of the quota."""

    client: httpx.AsyncClient
    clock: Callable[[], datetime]
    quota: Quota


class Adapter(Protocol):
    """One CRM account, as the engine sees it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this CRM can do."""

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch; one outcome for each delivery, in order.

        Raises CredentialsRefusedError, before or instead of any delivery. A fault of the
        network or of the CRM is an outcome, never an exception.
        """

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask what became of deliveries that push answered with Accepted.

        One outcome for each delivery, in order; Accepted again while the CRM still works.
        """

    async def check(self) -> Standing:
        """Ask the CRM whether the credentials are good, without writing."""


class AdapterFactory(Protocol):
    """What the entry point of an adapter names."""

    def __call__(self, account: Account, tools: Tools) -> Adapter:
        """Build the adapter; raises ValueError naming the missing secret or option."""
