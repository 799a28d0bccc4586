"""Which CRMs this installation can speak to: the entry points of the group `crmsync.adapters`.

A new CRM is a package that names its factory in that group; nothing here changes for it.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from crmsync_server.crm.adapter import AdapterFactory

GROUP = "crmsync.adapters"


class UnknownCrmError(LookupError):
    """No installed package registers an adapter for this CRM."""

    def __init__(self, crm: str) -> None:
        """Name the CRM and the ones that are known."""
        super().__init__(f"no adapter for the CRM {crm!r}; known: {', '.join(sorted(known()))}")
        self.crm = crm


def known() -> frozenset[str]:
    """Return the ids of every CRM with an adapter, without importing any of them."""
    return frozenset(entry.name for entry in entry_points(group=GROUP))


def factory(crm: str) -> AdapterFactory:
    """Import and return the factory of one CRM; raises UnknownCrmError."""
    found: EntryPoint | None = next(iter(entry_points(group=GROUP, name=crm)), None)
    if found is None:
        raise UnknownCrmError(crm)
    return cast("AdapterFactory", found.load())
