"""The CRMs as the doors know them: which there are, which are usable, and what they ask for."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from crmsync_server.errors import CrmDisabledError, NotSupportedError, UnknownCrmError
from crmsync_server.rpc.auth import current_caller

CONTACTS = "contacts"
"""The feature that a CRM lacks which keeps leads alone."""

REMOVALS = "removing records"
"""The feature that a CRM lacks whose adapter cannot remove records."""


@dataclass(frozen=True, slots=True)
class CrmTraits:
    """One CRM, as one organization can use it.

    enabled: whether there are credentials for it, and it is switched on.
    requires_email: whether a contact without an email cannot be delivered to it.
    records_per_second: the most that its rate limits allow; an estimate before anything is
        measured.
    takes_contacts: whether contacts can be delivered to it at all.
    removes: whether records can be removed there.
    """

    enabled: bool
    requires_email: bool
    records_per_second: float
    takes_contacts: bool = True
    removes: bool = False


class Crms:
    """Every CRM that this server knows, seen by the organization whose call is served."""

    def __init__(
        self, known: Iterable[str], look: Callable[[str, str], Awaitable[CrmTraits]]
    ) -> None:
        """Know these ids; look tells the traits of (org_id, crm)."""
        self.known = tuple(sorted(known))
        self._look = look

    def find(self, crm: str) -> None:
        """Refuse a CRM that is not known; raises UnknownCrmError."""
        if crm not in self.known:
            raise UnknownCrmError(crm, self.known)

    async def traits(self, crm: str) -> CrmTraits:
        """Return a CRM's traits; raises UnknownCrmError."""
        self.find(crm)
        return await self._look(current_caller().org_id, crm)

    async def usable(self, crm: str) -> CrmTraits:
        """Return a CRM's traits; raises UnknownCrmError, CrmDisabledError or NotSupportedError."""
        traits = await self.traits(crm)
        if not traits.enabled:
            raise CrmDisabledError(crm)
        if not traits.takes_contacts:
            raise NotSupportedError(crm, CONTACTS)
        return traits
