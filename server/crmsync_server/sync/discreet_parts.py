"""What an adapter offers beyond delivering, told without secrets as the adapter itself."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from crmsync_server.crm.adapter import QuotaExhaustedError
from crmsync_server.crm.directory import (
    CrmField,
    Directory,
    FieldResult,
    Module,
    NewField,
    Organization,
    Permission,
    Trouble,
)
from crmsync_server.crm.outcomes import Postponed, Retry
from crmsync_server.crm.source import Cursor, Page, Record, Scope, Source, SourceTraits
from crmsync_server.crm.webhook import Inbound, Notice, Webhooks
from crmsync_server.sync.redaction import Redaction
from crmsync_server.sync.tokens import StaleCredentialsError

Answer = TypeVar("Answer")

Found = Mapping[str, Record | None]


class DiscreetSource:
    """Passes everything on to a source, but for what its exceptions and its messages repeat."""

    def __init__(self, source: Source, redaction: Redaction) -> None:
        """Take the source, and what takes secrets out."""
        self._source = source
        self._redaction = redaction

    @property
    def traits(self) -> SourceTraits:
        """What the source says."""
        return self._source.traits

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read a page; see crm.source."""
        return await self._told(self._source.page(scope, cursor))

    async def fetch(self, ids: Sequence[str], names: frozenset[str] | None) -> Found | Trouble:
        """Read records by their ids; see crm.source."""
        return await self._told(self._source.fetch(ids, names))

    async def find(self, emails: Sequence[str], names: frozenset[str] | None) -> Found | Trouble:
        """Read records by their emails; see crm.source."""
        return await self._told(self._source.find(emails, names))

    async def _told(self, work: Awaitable[Answer]) -> Answer:
        return self._redaction.cleaned(await self._redaction.kept(work))


class DiscreetDirectory:
    """Passes everything on to a directory, but for what its exceptions and its messages repeat.

    Why the allowance or the credentials of the moment do not do is an answer too, as with any other
    fault.
    """

    def __init__(self, directory: Directory, redaction: Redaction) -> None:
        """Take the directory, and what takes secrets out."""
        self._directory = directory
        self._redaction = redaction

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the fields of contacts; see crm.directory."""
        return await self._told(self._directory.fields())

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make fields; see crm.directory."""
        answer = await self._told(self._directory.create_fields(fields))
        if isinstance(answer, list | tuple):
            return [self._redaction.cleaned(one) for one in answer]
        return answer

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Return what the credentials allow; see crm.directory."""
        return await self._told(self._directory.permissions())

    async def organization(self) -> Organization | Trouble:
        """Return whose account it is; see crm.directory."""
        return await self._told(self._directory.organization())

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return the kinds of records; see crm.directory."""
        return await self._told(self._directory.modules())

    async def refresh_token(self) -> datetime | Trouble | None:
        """Renew the access token; see crm.directory."""
        return await self._told(self._directory.refresh_token())

    async def _told(self, work: Awaitable[Answer]) -> Answer | Postponed | Retry:
        try:
            return self._redaction.cleaned(await self._redaction.kept(work))
        except QuotaExhaustedError as used_up:
            return Postponed(used_up.until, used_up.bucket, str(used_up))
        except StaleCredentialsError:
            return Retry("CONNECTION_CHANGED", "the connection has changed meanwhile")


class DiscreetWebhooks:
    """Passes everything on to an adapter's webhooks, but for what its exceptions repeat."""

    def __init__(self, webhooks: Webhooks, redaction: Redaction) -> None:
        """Take the webhooks, and what takes secrets out."""
        self._webhooks = webhooks
        self._redaction = redaction

    @property
    def configured(self) -> bool:
        """Whether there is a secret to verify with; see crm.webhook."""
        return self._webhooks.configured

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the CRM sent this; see crm.webhook."""
        try:
            return self._webhooks.genuine(inbound)
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self._redaction.fault(error)
        raise fault

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return what a genuine webhook tells; see crm.webhook."""
        try:
            return self._webhooks.read(inbound)
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self._redaction.fault(error)
        raise fault
