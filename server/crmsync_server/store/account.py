"""Another account at a CRM: what was agreed on with the one before says nothing of it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import base, contact, session
from crmsync_server.store.statements import statement

_TOGETHER = 2_000


async def forget(connection: AsyncConnection, org_id: str, crm: str) -> list[UUID]:
    """Forget whose record is whose at a CRM, and up to when it was read.

    Sessions that read it fail, and are returned: ids are the account's own, and the same id means
    somebody else at another one.
    """
    failed = await _fail_readings(connection, org_id, crm)
    after = UUID(int=0)
    while contact_ids := await linked(connection, org_id, crm, after=after, size=_TOGETHER):
        after = contact_ids[-1]
        await contact.lock(connection, org_id, contact_ids)
        await base.unlink(connection, org_id, crm, contact_ids, gone=False)
    parameters = {"org_id": org_id, "crm": crm}
    await connection.execute(statement("account/forget"), parameters)
    return failed


async def linked(
    connection: AsyncConnection, org_id: str, crm: str, *, after: UUID, size: int
) -> list[UUID]:
    """Return the next contacts that are or were linked to a CRM's records, in their ids' order."""
    parameters = {"org_id": org_id, "crm": crm, "after": after, "size": size}
    return list(await connection.scalars(statement("account/linked"), parameters))


async def readings(connection: AsyncConnection, org_id: str, crm: str) -> list[UUID]:
    """Return the sessions that read a CRM now."""
    parameters = {"org_id": org_id, "crm": crm}
    return list(await connection.scalars(statement("account/readings"), parameters))


async def _fail_readings(connection: AsyncConnection, org_id: str, crm: str) -> list[UUID]:
    found = await readings(connection, org_id, crm)
    told = "the connection was deleted, or leads to another account now"
    for session_id in found:
        await session.fail(connection, org_id, session_id, code="CRM_DISABLED", message=told)
    return found
