"""The schedule that asks a CRM about recent leads every hour, out of the box."""

from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import lead, schedule
from crmsync_server.store.schedule_action import SyncRecentLeadsAction

CREATOR = "crmsync"
"""Who makes it."""
SCHEDULED_DAYS = 30
_NAME = "Status of leads, every hour"


async def make(connection: AsyncConnection, org_id: str, crm: str) -> bool:
    """Make the hourly schedule of a CRM, once ever; False when it was made before.

    Its minute is the organization's own, so that not all of them ask at the same moment.
    """
    if not await lead.claim_schedule(connection, org_id, crm):
        return False
    now = (await connection.execute(sa.text("SELECT now()"))).scalar_one()
    minute = crc32(org_id.encode()) % 60
    plan = schedule.Plan(
        display_name=_NAME,
        cron=f"{minute} * * * *",
        time_zone="UTC",
        crm=crm,
        action=SyncRecentLeadsAction(SCHEDULED_DAYS),
        enabled=True,
    )
    await schedule.create(connection, org_id, plan, creator=CREATOR, now=now)
    return True
