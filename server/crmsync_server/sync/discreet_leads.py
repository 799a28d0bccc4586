"""The leads of an adapter, told without secrets as the adapter itself."""

from collections.abc import Awaitable, Sequence
from datetime import date
from typing import TypeVar

from crmsync_server.crm.adapter import QuotaExhaustedError
from crmsync_server.crm.leads import Cursor, LeadPage, LeadRecord, Leads, Registered, Signup
from crmsync_server.crm.outcomes import Postponed, Retry, Unknown
from crmsync_server.crm.questions import Trouble
from crmsync_server.sync.redaction import Redaction
from crmsync_server.sync.tokens import StaleCredentialsError

Answer = TypeVar("Answer")


class DiscreetLeads:
    """Passes everything on to an adapter's leads, but for what exceptions and messages repeat."""

    def __init__(self, leads: Leads, redaction: Redaction) -> None:
        """Take the leads, and what takes secrets out."""
        self._leads = leads
        self._redaction = redaction

    async def register(
        self, signup: Signup, *, perhaps_sent: bool = False
    ) -> Registered | Trouble | Unknown:
        """Make a signup known to the CRM; see crm.leads."""
        return await self._told(self._leads.register(signup, perhaps_sent=perhaps_sent))

    def portions(self, ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """Part ids; see crm.leads."""
        return self._leads.portions(ids)

    async def by_ids(self, ids: Sequence[str]) -> Sequence[LeadRecord] | Trouble:
        """Return the leads of these ids; see crm.leads."""
        return await self._told(self._leads.by_ids(ids))

    async def by_email(self, email: str) -> Sequence[LeadRecord] | Trouble:
        """Return the leads with this email; see crm.leads."""
        return await self._told(self._leads.by_email(email))

    async def recent(self, since: date, cursor: Cursor) -> LeadPage | Trouble:
        """Return a page of what came in lately; see crm.leads."""
        return await self._told(self._leads.recent(since, cursor))

    async def _told(self, work: Awaitable[Answer]) -> Answer | Postponed | Retry:
        try:
            return self._redaction.cleaned(await self._redaction.kept(work))
        except QuotaExhaustedError as used_up:
            return Postponed(used_up.until, used_up.bucket, str(used_up))
        except StaleCredentialsError:
            return Retry("CONNECTION_CHANGED", "the connection has changed meanwhile")
