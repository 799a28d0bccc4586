"""The index of terms: it follows the contacts a moment later, and tells what it lacks."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

_NEWEST = 1000
# At a time: so many statements at the most, and so many contacts but for the last statement's.
_STATEMENTS = 500
_CONTACTS = 3000


class Followed(NamedTuple):
    """What was indexed.

    statement_count: how many statements' contacts.
    busy: whether more contacts were written within the last second.
    """

    statement_count: int
    busy: bool


class Tail(NamedTuple):
    """Contacts that were written and are not indexed yet.

    contact_ids: the newest of them, at most 1,000.
    unknown: how many there are besides; a contact that was written twice counts twice.
    """

    contact_ids: Sequence[UUID]
    unknown: int


async def follow(connection: AsyncConnection) -> Followed:
    """Index what some statements wrote, of all organizations, the oldest first."""
    parameters = {"size": _STATEMENTS, "contact_count": _CONTACTS}
    answer = await connection.execute(statement("search_index/follow"), parameters)
    return Followed._make(answer.one())


async def tidy(connection: AsyncConnection) -> None:
    """Put into the index what was only appended to it, so that searches do not read it through."""
    await connection.execute(statement("search_index/tidy"))


async def tail(connection: AsyncConnection, org_id: str) -> Tail:
    """Return the contacts of an organization that are not indexed yet."""
    parameters = {"org_id": org_id, "size": _NEWEST}
    row = (await connection.execute(statement("search_index/tail"), parameters)).one()
    known = tuple(dict.fromkeys(row.contact_ids))
    return Tail(known, max(0, int(row.contact_count) - len(row.contact_ids)))
