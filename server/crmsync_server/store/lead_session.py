"""Sessions that ask a CRM about recent leads."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import run, session
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import Direction, SessionKind


async def open(  # noqa: A001 - named like session.open; nobody imports it bare
    connection: AsyncConnection, org_id: str, crm: str, *, days: int, creator: str
) -> UUID:
    """Open a session about the leads of the last days, whose work a server does then.

    Raises SessionActiveError.
    """
    opening = session.Opening(
        session_id=new_id(),
        kind=SessionKind.LEAD_STATUS_SYNC,
        crm=crm,
        creator=creator,
        direction=Direction.PULL,
    )
    await session.open(connection, org_id, opening)
    await run.insert(connection, org_id, opening.session_id, crm, {"days": days})
    return opening.session_id
