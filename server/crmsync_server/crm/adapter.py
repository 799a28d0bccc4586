"""The protocol that every CRM adapter speaks, and what an adapter is handed.

An adapter is built by a factory registered in the entry-point group `crmsync.adapters` under
the CRM's id. It holds no state that outlives it and knows neither database nor engine.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol
from uuid import UUID

import httpx

from crmsync_server.crm.outcomes import Outcome, Synced


@dataclass(frozen=True, slots=True)
class Delivery:
    """One contact to be delivered, as it was when the engine claimed it.

    crm_contact_id: the CRM's id from an earlier delivery, None when never delivered.
    attempt: rises with every claim of this contact at this CRM; with contact_id it names
        this delivery for ever (HubSpot's objectWriteTraceId, n8n's delivery id).
    properties: custom properties by the CRM's own name, values as text.
    keep_email: the record of crm_contact_id keeps the email that it has; ours says only how to find
        or make one, should that be gone.
    blank: which of the fields above (`company`), and of the CRM's own names, are to be cleared
        at the CRM where their value is empty. An empty value that is not named here says nothing:
        the CRM keeps what it has.
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
    blank: frozenset[str] = frozenset()
    keep_email: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """One allowance of a CRM account: `calls` in any `period`, of one class of calls.

    resets: where the period is a day: whose midnight it begins anew at, None while that is not
        known. Until the CRM tells, any 24 hours count then.
    ceiling: never more calls than this, whatever the CRM tells of itself; None where it decides.
    delivers: whether deliveries draw on it; one that only reading draws on delays no session of
        deliveries.
    """

    bucket: str
    calls: int
    period: timedelta
    resets: tzinfo | None = None
    ceiling: int | None = None
    delivers: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a CRM can do, declared; what is not declared is not tried.

    max_batch: how many deliveries one push takes at most.
    concurrency: how many pushes of one account may be under way at once.
    requires_email: whether a contact without an email can be delivered at all.
    idempotent: whether pushing a contact again after an unknown outcome is safe.
    push_timeout: the longest a push may take; leases are longer than this.
    read_back: whether the CRM can be asked what it holds, after an unknown outcome.
    takes_contacts: whether contacts can be delivered at all; a CRM may keep leads alone.
    keeps_leads: whether it keeps leads (crm.leads).
    delete: whether records can be removed: then the adapter is a `Deleter` as well.
    keeps_email: whether a record that is known by its id is written to without its email, where a
        delivery says so; else the CRM knows its records by their email.
    """

    max_batch: int
    concurrency: int
    requires_email: bool
    idempotent: bool
    push_timeout: timedelta
    limits: Sequence[Limit] = ()
    read_back: bool = False
    takes_contacts: bool = True
    keeps_leads: bool = False
    delete: bool = False
    keeps_email: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a check of the credentials found; nothing was written to find it.

    reachable: False when the CRM gave no answer, so that valid tells nothing.
    code: why the account does not do, where that is not its credentials (`API_DISABLED`).
    """

    valid: bool
    message: str
    account_id: str = ""
    reachable: bool = True
    code: str = ""


class CredentialsRefusedError(Exception):
    """The CRM refused the credentials: the lane pauses until they are replaced."""


class QuotaExhaustedError(Exception):
    """The allowance of a bucket is used up until a known time."""

    def __init__(self, bucket: str, until: datetime) -> None:
        """Name the bucket and when its next call is allowed."""
        super().__init__(f"the allowance {bucket} is used up until {until.isoformat()}")
        self.bucket = bucket
        self.until = until


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a reply's headers told of one bucket; None where they said nothing.

    calls: how many are allowed in a period; remaining: how many of them are left;
    reset: how long until the period begins anew.
    """

    bucket: str
    calls: int | None = None
    remaining: int | None = None
    reset: timedelta | None = None


class Quota(Protocol):
    """The account's shared allowance; every call to the CRM takes from it first."""

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Wait for the calls to be allowed, a few seconds at most.

        Raises QuotaExhaustedError when the wait would be longer.
        """

    def learn(self, told: Allowance) -> None:
        """Take over what the CRM itself said of a bucket."""

    def refused(self, bucket: str, until: datetime) -> None:
        """Give way: the CRM answered 429, and wants no call of this bucket before then."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and what renews it.

    refresh_token: empty where the CRM gives none; a CRM that rotates it gives a new one each time.
    """

    value: str = field(repr=False)
    expire_time: datetime
    refresh_token: str = field(repr=False, default="")


class Tokens(Protocol):
    """Keeps an account's access token for all replicas; one of them renews it at a time."""

    @property
    def lasting(self) -> bool:
        """Whether a token is kept after this adapter is gone.

        Where it is not, what renews a token but once is better not used: it is still somebody's.
        """

    async def current(
        self, renew: Callable[[str], Awaitable[Token]], *, refused: str = ""
    ) -> Token:
        """Return a token that holds for a minute at least, renewed first if need be.

        renew: asks the CRM for a new one, given the refresh token (empty when there is none).
        refused: the value that the CRM has just refused; it is renewed unless somebody already did.
        Raises what renew raises.
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
    """What an adapter works with: its client, its clock, its share of the quota, its tokens."""

    client: httpx.AsyncClient
    clock: Callable[[], datetime]
    quota: Quota
    tokens: Tokens


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

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Ask which of these deliveries, of an earlier unknown outcome, the CRM already holds.

        Synced where the CRM holds every value of the delivery, under the id that push would have
        given. In order; None where it does not, or cannot tell: because of a fault, the quota or
        refused credentials. Never raises, never writes. Only called where capabilities say so.
        """

    async def check(self) -> Standing:
        """Ask the CRM whether the credentials are good, without writing."""


class Deleter(Protocol):
    """What an adapter is besides, whose capabilities say `delete`."""

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Remove the records of contacts; one outcome for each, in order. Never Accepted.

        Each is known by its crm_contact_id, and where that is None by its email. Synced, under the
        id that it had (empty where it was not known): it is gone, also where it was gone before. Of
        a delivery nothing else counts. Raises CredentialsRefusedError as push does.
        """


class AdapterFactory(Protocol):
    """What the entry point of an adapter names."""

    def __call__(self, account: Account, tools: Tools) -> Adapter:
        """Build the adapter; raises ValueError naming the missing secret or option."""
