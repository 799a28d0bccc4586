"""An adapter that tells no secret: what it raises or answers may hold anything, and is kept."""

from collections.abc import Collection, Sequence
from typing import cast

from crmsync_server.crm.adapter import Adapter, Capabilities, Deleter, Delivery, Standing
from crmsync_server.crm.directory import Directory, directory_of
from crmsync_server.crm.leads import Leads, leads_of
from crmsync_server.crm.messaging import Messaging, messaging_of
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.crm.source import Source, source_of
from crmsync_server.crm.webhook import Webhooks, webhooks_of
from crmsync_server.sync.discreet_leads import DiscreetLeads
from crmsync_server.sync.discreet_messaging import DiscreetMessaging
from crmsync_server.sync.discreet_parts import DiscreetDirectory, DiscreetSource, DiscreetWebhooks
from crmsync_server.sync.redaction import Redaction


class Discreet:
    """Passes everything on to an adapter, but for what its exceptions and its messages repeat.

    source, directory, webhooks, leads, messaging: those of the adapter, told likewise; attributes
        only where it has them.
    """

    source: Source
    directory: Directory
    webhooks: Webhooks
    leads: Leads
    messaging: Messaging

    def __init__(self, adapter: Adapter, secrets: Collection[str]) -> None:
        """Take the adapter, and the values that no text may repeat."""
        self._adapter = adapter
        self._redaction = Redaction(secrets)
        if (source := source_of(adapter)) is not None:
            self.source = DiscreetSource(source, self._redaction)
        if (directory := directory_of(adapter)) is not None:
            self.directory = DiscreetDirectory(directory, self._redaction)
        if (webhooks := webhooks_of(adapter)) is not None:
            self.webhooks = DiscreetWebhooks(webhooks, self._redaction)
        if (leads := leads_of(adapter)) is not None:
            self.leads = DiscreetLeads(leads, self._redaction)
        if (messaging := messaging_of(adapter)) is not None:
            self.messaging = DiscreetMessaging(messaging, self._redaction)

    def __repr__(self) -> str:
        """Name the adapter's kind."""
        return f"Discreet({type(self._adapter).__name__})"

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter says."""
        return self._adapter.capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch; see crm.adapter."""
        return self._outcomes(await self._redaction.kept(self._adapter.push(batch)))

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask what became of deliveries; see crm.adapter."""
        return self._outcomes(await self._redaction.kept(self._adapter.settle(ticket, batch)))

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Remove records, where the adapter says that it can; see crm.adapter."""
        deleter = cast("Deleter", self._adapter)
        return self._outcomes(await self._redaction.kept(deleter.delete(batch)))

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Ask what the CRM holds; see crm.adapter."""
        return await self._redaction.kept(self._adapter.read_back(batch))

    async def check(self) -> Standing:
        """Ask whether the credentials are good; see crm.adapter."""
        return self._redaction.cleaned(await self._redaction.kept(self._adapter.check()))

    def _outcomes(self, answer: Sequence[Outcome]) -> Sequence[Outcome]:
        # An adapter may be anybody's code: whoever called judges what is no outcome at all.
        if not isinstance(answer, list | tuple):
            return answer
        return [self._redaction.cleaned(one) for one in answer]
