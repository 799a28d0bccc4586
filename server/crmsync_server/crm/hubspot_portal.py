"""What is known of one portal besides its contacts: its zone, its limits and its properties."""

from collections.abc import Sequence
from dataclasses import replace

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import Caller
from crmsync_server.crm.hubspot_day import BUCKETS, PortalLimits, Zone
from crmsync_server.crm.hubspot_properties import Names, PropertyNames
from crmsync_server.crm.hubspot_reads import Records
from crmsync_server.crm.hubspot_writes import Write, custom, is_partial
from crmsync_server.crm.outcomes import Outcome, Postponed
from crmsync_server.crm.replies import Reply


class Portal:
    """One portal, as its adapter knows it; what is asked once is kept here."""

    def __init__(self, caller: Caller, *, looks_up_all: bool) -> None:
        """Nothing is called yet.

        Args:
            caller: the portal's; how it reads limits is decided here.
            looks_up_all: whether every contact without a record id is looked up by its address
                before it is written, and not only those of which something is left out.
        """
        self.zone = Zone(caller)
        self._limits = PortalLimits(self.zone)
        self.caller = replace(caller, limits=self._limits)
        self.records = Records(self.caller, BUCKETS, self.postponed)
        self._names = PropertyNames(self.caller, BUCKETS, self.postponed)
        self._looks_up_all = looks_up_all

    async def postponed(self, reply: Reply) -> Postponed:
        """Read a reply with one of `hubspot_limits.WAITING`."""
        return await self._limits.postponed(reply, self.caller.tools.clock())

    async def writes(
        self, batch: Sequence[Delivery], guard: Guard
    ) -> list[Write] | Faulted[Outcome]:
        """Return what is to be written, without the deliveries that have no address."""
        sendable = [at for at, delivery in enumerate(batch) if deliverable(delivery.email)]
        addressed = [batch[at] for at in sendable]
        names = await guard.call(lambda: self._names_for(addressed))
        if isinstance(names, Faulted):
            return names
        return [_write(at, batch[at], names) for at in sendable]

    async def prepare(self) -> None:
        """Find out what can only be found out before the day's allowance is used up."""
        await self._limits.prepare()

    async def _names_for(self, batch: Sequence[Delivery]) -> Names | Faulted[Outcome]:
        """Return the portal's property names; not asked for where no contact has its own."""
        if not any(custom(delivery) for delivery in batch):
            return Names()
        return await self.names()

    async def names(self) -> Names | Faulted[Outcome]:
        """Return the portal's property names, kept for some minutes.

        Raises CredentialsRefusedError.
        """
        return await self._names.read()

    def must_look_up(self, write: Write) -> bool:
        """Tell whether a record must be looked for before this write.

        HubSpot supports no partial upsert by email, and does not say what one does to the values
        that it leaves out. An update by record id surely keeps them. What HubSpot has just sent
        another way most probably has a record.
        """
        unsure = self._looks_up_all or write.turns > 0 or is_partial(write)
        return unsure and not write.record_id


def _write(position: int, delivery: Delivery, names: Names) -> Write:
    own = custom(delivery)
    return Write(
        position,
        delivery,
        deliverable(delivery.email),
        delivery.crm_contact_id or "",
        keep_email=delivery.keep_email and bool(delivery.crm_contact_id),
        properties=names.kept(own),
        note=names.note(own),
    )
