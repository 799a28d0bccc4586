"""Accounts that no adapter can be built for: said once, and shown as why their lane waits."""

from datetime import timedelta

import structlog

from crmsync_server.store import lane
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.sync.circuit import MISCONFIGURED, Circuit, Health, Place

_log = structlog.get_logger()

_LEASE = timedelta(seconds=5)  # between two statements


class Misfits:
    """Closes the lanes of accounts whose settings do not do."""

    def __init__(self, database: Database, health: Health) -> None:
        """Write to this database."""
        self._database = database
        self._health = health
        self._said: dict[tuple[str, str], str] = {}

    async def report(self, org_id: str, crm: str, error: Exception) -> None:
        """Say what is wrong with an account, and close its lane until it is probed again."""
        log = _log.bind(org_id=org_id, crm=crm)
        if self._said.get((org_id, crm)) != str(error):
            self._said[org_id, crm] = str(error)
            # What a ValueError says is meant to be read, and is told with the lane.
            if not isinstance(error, ValueError):
                log.error("no adapter could be built", exc_info=error)
        # Another's text may hold anything.
        message = str(error) if isinstance(error, ValueError) else "see the server's log"
        circuit = Circuit(Place(self._database, org_id, crm, self._health), log)
        try:
            await circuit.open(MISCONFIGURED, message, probed=await self._is_probe(org_id, crm))
        except FAULTS:
            log.exception("the lane could not be closed")

    async def _is_probe(self, org_id: str, crm: str) -> bool:
        async with self._database.org(org_id) as connection:
            return await lane.begin_probe(connection, org_id, crm, _LEASE) is not None
