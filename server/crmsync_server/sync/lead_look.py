"""Asking a CRM about one lead: by its id, and by its email where the CRM knows no such id."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crmsync_server.crm.leads import LeadRecord, Leads, chosen
from crmsync_server.crm.questions import Trouble
from crmsync_server.store import lead
from crmsync_server.store.db import Database
from crmsync_server.sync.lead_matching import own, told_of


class LeadLook:
    """Asks about single leads, and keeps what is told of them."""

    def __init__(self, database: Database) -> None:
        """Keep it in this database."""
        self._database = database

    async def look(self, org_id: str, row: sa.Row[Any], leads: Leads) -> bool | Trouble | None:
        """Tell whether a lead differs from what was known; None where the CRM does not have it.

        Raises CredentialsRefusedError.
        """
        named = await leads.by_ids([row.id])
        if not isinstance(named, Sequence):
            return named
        record = chosen(named)
        if record is None:
            namesakes = await leads.by_email(row.email)
            if not isinstance(namesakes, Sequence):
                return namesakes
            record = await self._own(org_id, row, namesakes)
        return None if record is None else await self._kept(org_id, row, record)

    async def _own(
        self, org_id: str, row: sa.Row[Any], namesakes: Sequence[LeadRecord]
    ) -> LeadRecord | None:
        """Return the one that is this lead's; those that name another lead here are not."""
        ids = [one.transaction_id for one in namesakes if one.transaction_id]
        async with self._database.org(org_id) as connection:
            owners = await lead.owners(connection, org_id, row.crm, ids, [])
        return own(row.id, namesakes, frozenset(owner.id for owner in owners))

    async def _kept(self, org_id: str, row: sa.Row[Any], record: LeadRecord) -> bool:
        async with self._database.org(org_id) as connection:
            (kept,) = await lead.apply(connection, org_id, row.crm, [told_of(row.id, record)])
        return bool(kept.updated)
