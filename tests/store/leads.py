"""Leads for tests of the store: registered, told of, and looked at."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import lead
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.lead import Ending, Signup, Told
from crmsync_server.store.states import LeadRegistration
from tests.store.people import ORG

CRM = "trading"
LEASE = timedelta(minutes=3)


def signup(lead_id: str = "s-1", **told: str) -> Signup:
    """Return a signup whose email is its own, but for what is told otherwise."""
    given = {"id": lead_id, "crm": CRM, "email": f"{lead_id}@example.com", **told}
    return Signup(**given)


def told(lead_id: str = "s-1", code: int = 1, **changed: Any) -> Told:  # noqa: ANN401 - whatever is told
    """Return what a CRM tells of a lead, but for what is told otherwise."""
    plain = Told(
        id=lead_id,
        crm_lead_id=f"crm-{lead_id}",
        status_code=code,
        status_text=f"Status {code}",
        ftd=False,
        tp_account="",
        currency="",
        create_time=None,
        modify_time=None,
    )
    return plain._replace(**changed)


async def keep(database: Database, *lead_ids: str, org_id: str = ORG) -> None:
    """Keep leads that no CRM has yet."""
    async with database.org(org_id) as connection:
        for lead_id in lead_ids:
            await lead.keep(connection, org_id, signup(lead_id))


async def register(database: Database, lead_id: str, org_id: str = ORG) -> sa.Row[Any]:
    """Keep a lead that its CRM has."""
    async with database.org(org_id) as connection:
        await lead.keep(connection, org_id, signup(lead_id))
        row = await lead.begin_registration(connection, org_id, lead_id, lease=LEASE)
        ending = Ending(LeadRegistration.REGISTERED, f"crm-{lead_id}")
        attempt = row.registration_attempt
        return await lead.end_registration(connection, org_id, lead_id, attempt, ending)


async def apply(
    database: Database, *tellings: Told, session_id: UUID | None = None
) -> Sequence[sa.Row[Any]]:
    """Take over what was told, in a transaction of its own."""
    async with database.org(ORG) as connection:
        return await lead.apply(connection, ORG, CRM, tellings, session_id)


async def get(database: Database, lead_id: str = "s-1") -> sa.Row[Any]:
    """Return a lead."""
    async with database.org(ORG) as connection:
        return await lead.get(connection, ORG, lead_id)


async def history(database: Database, lead_id: str = "s-1") -> Sequence[sa.Row[Any]]:
    """Return all changes of a lead, newest first."""
    async with database.org(ORG) as connection:
        return await lead.history(connection, ORG, lead_id, size=1000)


async def balance(connection: AsyncConnection) -> None:
    """Fail where a promise about the rows is broken."""
    assert await violations(connection) == []


async def sound(database: Database) -> None:
    """Fail likewise."""
    async with database.everyone() as connection:
        await balance(connection)
