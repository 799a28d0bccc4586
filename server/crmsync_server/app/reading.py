"""How organizations read their CRMs, put together from their accounts and configurations."""

import structlog

from crmsync_server.adapters import Adapters
from crmsync_server.adapters.health import keep_health
from crmsync_server.crm.adapter import Adapter
from crmsync_server.crm.leads import leads_of
from crmsync_server.crm.source import source_of
from crmsync_server.errors import CrmDisabledError
from crmsync_server.store.db import Database
from crmsync_server.sync.circuit import REFUSED, Circuit, Place
from crmsync_server.sync.configs import Configs
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.run import FailedError, Reader

_log = structlog.get_logger()


class Readers:
    """Tells how (org_id, crm) is read."""

    def __init__(self, database: Database, adapters: Adapters, configs: Configs) -> None:
        """Take the organizations' accounts and their configurations."""
        self._database = database
        self._adapters = adapters
        self._configs = configs

    async def of(self, org_id: str, crm: str) -> Reader:
        """Return how a CRM is read; raises FailedError where it is not used."""
        config = await self._configs.of(org_id, crm)
        adapter = await self._adapters.of(org_id, crm)
        if adapter is None or not config.enabled:
            message = f"{crm} is switched off, or has no credentials"
            raise FailedError(message, "CRM_DISABLED")
        return _reader(adapter, config)

    async def reach(self, org_id: str, crm: str) -> Reader:
        """Return the same, for callers: raises CrmDisabledError where it is not used."""
        try:
            return await self.of(org_id, crm)
        except FailedError:
            raise CrmDisabledError(crm) from None

    async def switched_on(self, org_id: str, crm: str) -> bool:
        """Tell whether an organization has not switched a CRM off."""
        return (await self._configs.of(org_id, crm)).enabled

    async def refused(self, org_id: str, crm: str, message: str) -> None:
        """Stop the deliveries as well: the CRM has refused the credentials to a reading."""
        place = Place(self._database, org_id, crm, keep_health)
        await Circuit(place, _log.bind(org_id=org_id, crm=crm)).open(REFUSED, message)


def _reader(adapter: Adapter, config: LaneConfig) -> Reader:
    able = adapter.capabilities
    daily = [limit.calls for limit in able.limits if limit.period.days >= 1]
    return Reader(
        source=source_of(adapter),
        config=config,
        requires_email=able.requires_email,
        batch_size=min(able.max_batch, config.batch_size or able.max_batch),
        daily_calls=min(daily, default=0),
        leads=leads_of(adapter),
        takes_contacts=able.takes_contacts,
    )
