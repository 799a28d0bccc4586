"""Reading the account's side of the database."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.demo.account import Told
from crmsync_server.demo.holdings import Fields
from crmsync_server.store.states import AttemptOutcome
from crmsync_server.store.tables import schema

# After these nobody knows whether the CRM applied what was sent.
_UNCERTAIN = (AttemptOutcome.UNKNOWN, AttemptOutcome.LEASE_EXPIRED)


async def told(connection: AsyncConnection, crm: str) -> Sequence[Told]:
    """Return where every contact that was queued for a CRM stands there."""
    tables = schema().tables
    contacts, syncs = tables["contacts"], tables["contact_syncs"]
    uncertain = await _uncertain(connection, crm)
    found = sa.select(contacts, syncs.c.sync_status, syncs.c.crm_contact_id).join(
        syncs, sa.and_(syncs.c.org_id == contacts.c.org_id, syncs.c.contact_id == contacts.c.id)
    )
    rows = (await connection.execute(found.where(syncs.c.crm == crm))).all()
    return [_told(row, uncertain=row.id in uncertain) for row in rows]


async def attempts(connection: AsyncConnection, crm: str) -> Mapping[str, int]:
    """Return how many deliveries to a CRM ended in what."""
    history = schema().tables["sync_attempts"]
    counted = sa.select(history.c.outcome, sa.func.count()).where(history.c.crm == crm)
    rows = await connection.execute(counted.group_by(history.c.outcome))
    return {outcome: count for outcome, count in rows.all()}  # noqa: C416 - a Row is no tuple


async def _uncertain(connection: AsyncConnection, crm: str) -> set[Any]:
    history = schema().tables["sync_attempts"]
    found = sa.select(history.c.contact_id).where(
        history.c.crm == crm, history.c.outcome.in_(_UNCERTAIN)
    )
    return set((await connection.execute(found)).scalars())


def _told(row: sa.Row[Any], *, uncertain: bool) -> Told:
    fields = Fields(row.first_name, row.last_name, row.phone, row.company)
    crm_contact_id = row.crm_contact_id or ""
    return Told(row.email_key, row.sync_status, crm_contact_id, fields, uncertain)
