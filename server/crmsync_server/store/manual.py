"""What a manual session was asked for: the records behind contacts, and what there is not."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


async def linked(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID]
) -> Sequence[str]:
    """Return the CRM's ids of these contacts; those that it does not have are left out."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    return list(await connection.scalars(statement("manual/linked"), parameters))


async def owners(
    connection: AsyncConnection, org_id: str, crm: str, crm_contact_ids: Sequence[str]
) -> dict[str, UUID]:
    """Return the contacts that are linked to these records of a CRM, by its ids."""
    parameters = {"org_id": org_id, "crm": crm, "crm_contact_ids": list(crm_contact_ids)}
    rows = await connection.execute(statement("manual/owners"), parameters)
    return {row.crm_contact_id: row.contact_id for row in rows}


async def missing(
    connection: AsyncConnection,
    org_id: str,
    session_id: UUID,
    missing: Mapping[str, UUID | None],
) -> None:
    """Note ids that a session was asked for and that do not exist; each is counted once.

    missing: a contact's id with itself, or a record's id with the contact that is linked to it.
    """
    if missing:
        parameters = {
            "org_id": org_id,
            "session_id": session_id,
            "keys": list(missing),
            "contact_ids": list(missing.values()),
        }
        await connection.execute(statement("manual/missing"), parameters)


async def touched(connection: AsyncConnection, org_id: str, session_id: UUID) -> Sequence[UUID]:
    """Return the contacts whose records a session has read."""
    parameters = {"org_id": org_id, "session_id": session_id}
    return list(await connection.scalars(statement("manual/touched"), parameters))
