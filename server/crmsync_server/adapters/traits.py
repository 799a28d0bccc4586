"""What callers are told of a CRM, from what its adapter declares."""

from crmsync_server.crm.adapter import Adapter
from crmsync_server.rpc.crms import CrmTraits

_UNLIMITED = 10.0  # calls per second that a CRM without limits is reckoned with

MISCONFIGURED = CrmTraits(enabled=True, requires_email=False, records_per_second=1.0, removes=True)
"""Work is taken in, and waits until what is wrong is mended."""


def traits_of(adapter: Adapter | None) -> CrmTraits:
    """Return what callers are told of a CRM; without an adapter, that it is not used."""
    if adapter is None:
        return CrmTraits(enabled=False, requires_email=False, records_per_second=1.0)
    able = adapter.capabilities
    if not able.takes_contacts:
        return CrmTraits(
            enabled=True,
            requires_email=able.requires_email,
            records_per_second=1.0,
            takes_contacts=False,
        )
    rates = (limit.calls / limit.period.total_seconds() for limit in able.limits)
    return CrmTraits(
        enabled=True,
        requires_email=able.requires_email,
        records_per_second=min(rates, default=_UNLIMITED) * able.max_batch,
        removes=able.delete,
    )
