"""The CRMs as the doors know them: which there are, which are usable, and what they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass

from crmsync_server.errors import CrmDisabledError, UnknownCrmError


@dataclass(frozen=True, slots=True)
class CrmTraits:
    """One CRM.

    enabled: whether there are credentials for it.
    requires_email: whether a contact without an email cannot be delivered to it.
    records_per_second: the most that its rate limits allow; an estimate before anything is
        measured.
    """

    enabled: bool
    requires_email: bool
    records_per_second: float


class Crms:
    """Every CRM that this server knows."""

    def __init__(self, traits: Mapping[str, CrmTraits]) -> None:
        """Know these, by id."""
        self._traits = dict(sorted(traits.items()))

    @property
    def known(self) -> tuple[str, ...]:
        """Return the ids of all, in order."""
        return tuple(self._traits)

    def find(self, crm: str) -> CrmTraits:
        """Return a CRM's traits; raises UnknownCrmError."""
        if crm not in self._traits:
            raise UnknownCrmError(crm, self.known)
        return self._traits[crm]

    def usable(self, crm: str) -> CrmTraits:
        """Return a CRM's traits; raises UnknownCrmError or CrmDisabledError."""
        traits = self.find(crm)
        if not traits.enabled:
            raise CrmDisabledError(crm)
        return traits
