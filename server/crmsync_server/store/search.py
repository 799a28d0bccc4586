"""Searching contacts: by text and filter, in an order, at a cost that their number does not set.

What many contacts pass is found by walking a little along the order; what few do, by the index of
terms. Neither is known beforehand, so the walk is tried first, over so many contacts and no more.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.contact_search import Position
from crmsync_server.store.search_index import tail
from crmsync_server.store.search_query import Matching, Query
from crmsync_server.store.statements import statement

TOTAL_LIMIT = 1000
_WALK = 2000
_LONG_WALK = 15_000
_DENSE = 0.004
_KEYS_SAMPLE = 10_000
_MOST_KEYS = 200


class Found(NamedTuple):
    """A page of what a search finds.

    rows: of contacts, each with its sort_value.
    at_least: how many match at the least, after the page's beginning.
    """

    rows: Sequence[sa.Row[Any]]
    at_least: int


async def prepare(connection: AsyncConnection, query: Query) -> Matching:
    """Return what a search looks for, as of now; later statements are planned for their values."""
    await connection.execute(statement("search/prepare"))
    written = await tail(connection, query.org_id)
    return Matching(query, written.contact_ids, written.unknown)


async def page(
    connection: AsyncConnection, matching: Matching, *, size: int, after: Position | None = None
) -> Found:
    """Return up to size contacts in order, those without a value last."""
    rows: list[sa.Row[Any]] = []
    at_least = 0
    for valued in matching.query.ranges(after):
        wanted = size - len(rows)
        part = await _of_range(connection, matching, valued, after, wanted)
        rows.extend(part.rows)
        at_least += part.at_least
        after = None
        if len(rows) >= size:
            break
    return Found(rows, at_least)


async def total(connection: AsyncConnection, matching: Matching) -> int:
    """Return how many contacts match, or one more than 1,000."""
    some = matching.rows().with_only_columns(sa.literal(1)).limit(TOTAL_LIMIT + 1).subquery()
    answer = await connection.execute(sa.select(sa.func.count()).select_from(some))
    return int(answer.scalar_one())


async def count(connection: AsyncConnection, matching: Matching) -> int:
    """Return how many contacts match, all of them."""
    query = matching.rows().with_only_columns(sa.func.count())
    return int((await connection.execute(query)).scalar_one())


async def standings(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> Sequence[sa.Row[Any]]:
    """Return how contacts stand at the CRMs that they were ever selected for."""
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids)}
    return (await connection.execute(statement("search/standings"), parameters)).all()


async def property_keys(connection: AsyncConnection, org_id: str) -> Sequence[str]:
    """Return the properties that the 10,000 newest contacts have, the most frequent first."""
    parameters = {"org_id": org_id, "sample": _KEYS_SAMPLE, "size": _MOST_KEYS}
    rows = await connection.execute(statement("search/property_keys"), parameters)
    return [row.key for row in rows]


async def _of_range(
    connection: AsyncConnection,
    matching: Matching,
    valued: bool,  # noqa: FBT001 - passed on
    after: Position | None,
    size: int,
) -> Found:
    if matching.any:
        every = (await connection.execute(matching.ordered(valued, after).limit(size))).all()
        return Found(every, len(every))
    for length in (max(_WALK, 2 * size), max(_LONG_WALK, 2 * size)):
        walked = matching.walked(valued, after, length).limit(size)
        found = (await connection.execute(walked)).all()
        if len(found) == size:
            return Found(found, found[0].match_count)
        # So few in so many: the index finds them all sooner than the walk finds enough.
        if len(found) < _DENSE * length:
            break
    found = (await connection.execute(matching.ordered(valued, after).limit(size))).all()
    return Found(found, len(found))
