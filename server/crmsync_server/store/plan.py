"""Plans: what a dry run found, and whether it still holds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.narrowed import narrowed
from crmsync_server.store.queue import Selection
from crmsync_server.store.statements import statement


class Foreseen(NamedTuple):
    """What a reading would leave for deliveries, in the order of foresee.sql's columns.

    version: of the contact. lacks: whether its record lacks something that the contact has.
    """

    contact_id: UUID
    version: int
    lacks: bool


async def foresee(
    connection: AsyncConnection, org_id: str, session_id: UUID, foreseen: Sequence[Foreseen]
) -> None:
    """Note what would be left to deliver to records that were read, before `push`."""
    contact_ids, versions, lacks = map(list, zip(*foreseen, strict=True))
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "contact_ids": contact_ids,
        "versions": versions,
        "lacks": lacks,
    }
    await connection.execute(statement("plan/foresee"), parameters)


async def push(
    connection: AsyncConnection,
    org_id: str,
    session_id: UUID,
    crm: str,
    selection: Selection,
    *,
    force: bool = False,
) -> int:
    """Note the contacts that would be queued; return how many. See `queue.enqueue`.

    What was foreseen of one holds, unless it would be delivered by force.
    """
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "crm": crm,
        "by_id": selection.contact_ids is not None,
        "contact_ids": list(selection.contact_ids or ()),
        "requires_email": selection.requires_email,
        "changed_only": selection.changed_only,
        "salt": selection.salt,
        "force": force,
    }
    planned = await connection.execute(narrowed("plan/push", selection.condition), parameters)
    return planned.rowcount


async def keep(
    connection: AsyncConnection, org_id: str, session_id: UUID, facts: Mapping[str, Any]
) -> None:
    """Keep what a session's plan is besides its records, joined with what was kept before."""
    parameters = {"org_id": org_id, "session_id": session_id, "facts": json.dumps(facts)}
    await connection.execute(statement("plan/keep"), parameters)


async def lock(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any] | None:
    """Lock a dry run's session, with whether its plan is `expired`, or `applied`; None without."""
    parameters = {"org_id": org_id, "session_id": session_id}
    return (await connection.execute(statement("plan/lock"), parameters)).one_or_none()


async def counts(
    connection: AsyncConnection, org_id: str, session_id: UUID
) -> Sequence[sa.Row[Any]]:
    """Return how often each action was noted for a session, by direction."""
    parameters = {"org_id": org_id, "session_id": session_id}
    return (await connection.execute(statement("plan/counts"), parameters)).all()


async def deletions(connection: AsyncConnection, org_id: str, session_id: UUID) -> int:
    """Return how many contacts a plan would delete or unlink."""
    parameters = {"org_id": org_id, "session_id": session_id}
    return int(await connection.scalar(statement("plan/deletions"), parameters) or 0)


async def records(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, after: str, size: int
) -> Sequence[sa.Row[Any]]:
    """Return the next records that a plan would do something with, by their keys."""
    parameters = {"org_id": org_id, "session_id": session_id, "after": after, "size": size}
    return (await connection.execute(statement("plan/records"), parameters)).all()


async def moved(
    connection: AsyncConnection, org_id: str, plan_id: UUID, *, size: int
) -> Sequence[sa.Row[Any]]:
    """Return contacts (id, direction, key) of a plan that are not as they were when it was made."""
    parameters = {"org_id": org_id, "plan_id": plan_id, "size": size}
    return (await connection.execute(statement("plan/moved"), parameters)).all()


async def differing(
    connection: AsyncConnection, org_id: str, plan_id: UUID, session_id: UUID, *, size: int
) -> Sequence[sa.Row[Any]]:
    """Return the records (key) of which a session made something else than the plan says."""
    parameters = {
        "org_id": org_id,
        "plan_id": plan_id,
        "session_id": session_id,
        "size": size,
    }
    return (await connection.execute(statement("plan/differing"), parameters)).all()


async def pushed(connection: AsyncConnection, org_id: str, plan_id: UUID) -> Sequence[UUID]:
    """Return the contacts that a plan would queue."""
    parameters = {"org_id": org_id, "plan_id": plan_id}
    return list(await connection.scalars(statement("plan/pushed"), parameters))
