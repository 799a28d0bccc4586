"""Sessions: tracked pieces of asynchronous work, and the items they consist of."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import SessionActiveError, SessionNotFoundError
from crmsync_server.store import run
from crmsync_server.store.queue import slot
from crmsync_server.store.statements import statement
from crmsync_server.store.states import Direction, SessionKind

_REVISION = re.compile("[0-9a-f]{1,15}")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions to list; None means any."""

    states: Sequence[str] | None = None
    kind: str | None = None
    crm: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of a session's items.

    part: PULL for what was read, PLAN for what a dry run would deliver, PUSH for what is delivered.
    after: the key of the last item before it; empty at the beginning.
    """

    part: str
    after: str = ""


async def get(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any]:
    """Return a session; raises SessionNotFoundError."""
    parameters = {"org_id": org_id, "session_id": session_id}
    row = (await connection.execute(statement("session/get"), parameters)).one_or_none()
    if row is None:
        raise SessionNotFoundError(str(session_id))
    return row


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    chosen: Filter,
    *,
    size: int,
    before_id: UUID | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of sessions, newest first, older than before_id."""
    parameters = {
        "org_id": org_id,
        "states": chosen.states,
        "kind": chosen.kind,
        "crm": chosen.crm,
        "before_id": before_id,
        "size": size,
    }
    return (await connection.execute(statement("session/list"), parameters)).all()


async def items(
    connection: AsyncConnection,
    org_id: str,
    session_id: UUID,
    place: Place,
    *,
    outcomes: Sequence[str] | None,
    size: int,
) -> Sequence[sa.Row[Any]]:
    """Return a page of one part of a session's items, after a place."""
    is_push = place.part == "PUSH"
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "direction": place.part,
        "after": "" if is_push else place.after,
        "after_id": UUID(place.after) if is_push and place.after else UUID(int=0),
        "outcomes": outcomes,
        "size": size,
    }
    return (await connection.execute(statement("session/items"), parameters)).all()


async def newest(
    connection: AsyncConnection, watched: Sequence[tuple[str, UUID]]
) -> Sequence[sa.Row[Any]]:
    """Return these sessions (organization, id) as they stand; unknown ones are left out."""
    parameters = {
        "org_ids": [org_id for org_id, _ in watched],
        "session_ids": [session_id for _, session_id in watched],
    }
    return (await connection.execute(statement("session/newest"), parameters)).all()


async def lock_items(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Lock the standings of a session's pending items, before cancel."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("session/lock_items"), parameters)


async def cancel(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any]:
    """Cancel a session and return it as it is then; one that has ended stays as it is.

    Raises SessionNotFoundError.
    """
    return await _end_early(connection, org_id, session_id)


async def fail(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, code: str, message: str
) -> sa.Row[Any]:
    """Let a session fail and return it as it is then; one that has ended stays as it is.

    Raises SessionNotFoundError.
    """
    return await _end_early(connection, org_id, session_id, code, message)


async def _end_early(
    connection: AsyncConnection,
    org_id: str,
    session_id: UUID,
    code: str | None = None,
    message: str | None = None,
) -> sa.Row[Any]:
    # The run first: who writes its pages locks it before anything else.
    await run.drop(connection, org_id, session_id)
    await lock_items(connection, org_id, session_id)
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "slot": slot(),
        "error_code": code,
        "error_message": message,
    }
    row = (await connection.execute(statement("session/cancel"), parameters)).one_or_none()
    return row or await get(connection, org_id, session_id)


@dataclass(frozen=True, slots=True)
class Opening:
    """A session to open, and to be filled afterwards.

    exclusive: whether no other of its kind may be active at the CRM, but for dry runs.
    """

    session_id: UUID
    kind: SessionKind
    crm: str
    creator: str
    direction: Direction
    dry_run: bool = False
    exclusive: bool = True


async def open(  # noqa: A001 - named like its statement; nobody imports it bare
    connection: AsyncConnection, org_id: str, opening: Opening
) -> None:
    """Open a session; it goes on until `filled`.

    Raises:
        SessionActiveError: another of its kind is active, and this one is exclusive.
    """
    parameters = {"org_id": org_id, **asdict(opening)}
    if opening.exclusive:
        # One that need not be alone is no less active, and no key stops another beside it.
        await _refuse_active(connection, org_id, opening)
    while await connection.scalar(statement("session/open"), parameters) is None:
        await _refuse_active(connection, org_id, opening)


async def _refuse_active(connection: AsyncConnection, org_id: str, opening: Opening) -> None:
    found = await active(connection, org_id, opening.crm, opening.kind)
    # Without one it has ended in between.
    if found is not None:
        raise SessionActiveError(str(found), opening.crm, opening.kind)


async def active(
    connection: AsyncConnection, org_id: str, crm: str, kind: SessionKind
) -> UUID | None:
    """Return the session of a kind that is active at a CRM, and beside which none may start."""
    parameters = {"org_id": org_id, "crm": crm, "kind": kind}
    found: UUID | None = await connection.scalar(statement("session/active"), parameters)
    return found


async def filled(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any]:
    """Say that nothing more will come to a session, and return it as it is then."""
    parameters = {"org_id": org_id, "session_id": session_id}
    row = (await connection.execute(statement("session/filled"), parameters)).one_or_none()
    return row or await get(connection, org_id, session_id)


async def pause(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any]:
    """Pause a session and return it as it is then; one that does not run stays as it is.

    Raises SessionNotFoundError.
    """
    await run.suspend(connection, org_id, session_id)
    await lock_items(connection, org_id, session_id)
    parameters = {"org_id": org_id, "session_id": session_id}
    row = (await connection.execute(statement("session/pause"), parameters)).one_or_none()
    if row is not None:
        await connection.execute(statement("session/hold"), parameters)
    return row or await get(connection, org_id, session_id)


async def hold(connection: AsyncConnection, org_id: str, session_id: UUID) -> int:
    """Hold again what came back to the queue for a paused session; return what is under way."""
    await lock_items(connection, org_id, session_id)
    parameters = {"org_id": org_id, "session_id": session_id}
    return int(await connection.scalar(statement("session/hold"), parameters) or 0)


async def resume(connection: AsyncConnection, org_id: str, session_id: UUID) -> sa.Row[Any]:
    """Let a paused session go on and return it as it is then; any other stays as it is.

    Raises SessionNotFoundError.
    """
    await run.suspend(connection, org_id, session_id)
    await lock_items(connection, org_id, session_id)
    parameters = {"org_id": org_id, "session_id": session_id}
    row = (await connection.execute(statement("session/resume"), parameters)).one_or_none()
    if row is not None:
        await release(connection, org_id, session_id)
    return row or await get(connection, org_id, session_id)


async def release(connection: AsyncConnection, org_id: str, session_id: UUID) -> None:
    """Let what is held for a session be claimed again; its standings are locked."""
    parameters = {"org_id": org_id, "session_id": session_id}
    await connection.execute(statement("session/release"), parameters)


async def paused(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return the paused sessions (org_id, id), of any organization, with something pending."""
    return (await connection.execute(statement("session/paused"))).all()


async def purge(connection: AsyncConnection, *, days: int, size: int) -> int:
    """Delete up to size sessions that ended more than so many days ago, with their items."""
    parameters = {"days": days, "size": size}
    return (await connection.execute(statement("session/purge"), parameters)).rowcount


def resume_token(session_id: UUID, revision: int) -> str:
    """Name a state of a session, for whoever wants to hear only of what comes later."""
    return f"{session_id.hex}.{revision:x}"


def revision_of(token: str, session_id: UUID) -> int | None:
    """Return the revision that a resume token of this session names; None when it is no such."""
    name, _, revision = token.partition(".")
    if name != session_id.hex or not _REVISION.fullmatch(revision):
        return None
    return int(revision, 16)
