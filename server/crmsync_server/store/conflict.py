"""Conflicts: what both sides changed and no policy settles. Their contacts are locked before."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.ids import new_ids
from crmsync_server.store.statements import statement


class Conflict(NamedTuple):
    """What a contact and its record disagree on.

    fields: documents of field, base (missing where not known), ours and theirs.
    ours_time, theirs_time: when each side last changed.
    """

    contact_id: UUID
    crm_contact_id: str
    fields: Sequence[Mapping[str, Any]]
    ours_time: datetime
    theirs_time: datetime | None


async def write(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    conflicts: Sequence[Conflict],
    session_id: UUID | None,
) -> Sequence[UUID]:
    """Open conflicts or bring open ones up to date; return those that are new or have changed."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "session_id": session_id,
        "ids": new_ids(len(conflicts)),
        "contact_ids": [one.contact_id for one in conflicts],
        "crm_contact_ids": [one.crm_contact_id for one in conflicts],
        "fields": [json.dumps(one.fields, ensure_ascii=False) for one in conflicts],
        "ours_times": [one.ours_time for one in conflicts],
        "theirs_times": [one.theirs_time for one in conflicts],
    }
    written = await connection.scalars(statement("conflict/write"), parameters)
    return written.all()


async def settle(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID]
) -> Sequence[UUID]:
    """End the open conflicts of contacts that are in conflict no more; return them."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    settled = await connection.scalars(statement("conflict/settle"), parameters)
    return settled.all()
