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
_LOOKS = 3  # at a page that others are changing
_WALK = 2000
# A comparison with columns costs a twentieth of a look at terms: it is worth going on for longer.
_LONG_WALK, _LONG_WALK_BY_COLUMNS = 15_000, 30_000
_DENSE, _DENSE_BY_COLUMNS = 0.004, 0.002
_COUNTED = 50_000
_DENSE_COUNTED = 0.02
_KEYS_SAMPLE = 10_000
_MOST_KEYS = 200


class Found(NamedTuple):
    """A page of what a search finds.

    rows: of contacts, each with its sort_value.
    at_least: how many match at the least, after the page's beginning.
    exact: whether those are all, unless they are over 1,000.
    dense: whether so many of the contacts looked at match that 1,000 are found among a few.
    """

    rows: Sequence[sa.Row[Any]]
    at_least: int
    exact: bool = False
    dense: bool = False


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
    at_least, exact, dense = 0, True, False
    ranges = matching.query.ranges(after)
    for valued in ranges:
        wanted = size - len(rows)
        part = await _of_range(connection, matching, valued, after, wanted)
        rows.extend(part.rows)
        at_least, exact = at_least + part.at_least, exact and part.exact
        dense = dense or part.dense
        after = None
        if len(rows) >= size:
            exact = exact and valued is ranges[-1]
            break
    return Found(rows, at_least, exact, dense)


async def total(connection: AsyncConnection, matching: Matching, *, dense: bool = False) -> int:
    """Return how many contacts match, or one more than 1,000.

    dense: as it was found. The index would gather all that match before the first is counted.
    """
    found = matching.rows_among(_COUNTED) if dense else None
    if found is not None and (number := await _counted(connection, found)) > TOTAL_LIMIT:
        return number
    return await _counted(connection, matching.rows())


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


async def _counted(connection: AsyncConnection, rows: sa.Select[Any]) -> int:
    some = rows.with_only_columns(sa.literal(1)).limit(TOTAL_LIMIT + 1).subquery()
    answer = await connection.execute(sa.select(sa.func.count()).select_from(some))
    return int(answer.scalar_one())


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
    length = max(_WALK, 2 * size)
    counted = matching.counted(matching.walked(valued, after, length)).limit(size)
    found = (await connection.execute(counted)).all()
    if len(found) == size:
        number = int(found[0].match_count)
        return Found(found, number, dense=number >= _DENSE_COUNTED * length)
    longer, enough = _LONG_WALK, _DENSE
    if matching.by_columns:
        longer, enough = _LONG_WALK_BY_COLUMNS, _DENSE_BY_COLUMNS
    # Very few in so many: the index finds them all sooner than the walk finds enough.
    if len(found) >= enough * length:
        walked = matching.walked(valued, after, max(longer, 2 * size)).limit(size)
        found = (await connection.execute(walked)).all()
        if len(found) == size:
            return Found(found, size)
    return await _looked_up(connection, matching, matching.ordered(valued, after), size)


async def _looked_up(
    connection: AsyncConnection, matching: Matching, ordered: sa.Select[Any], size: int
) -> Found:
    """Return a page by way of the index, which is asked once for the page and for the total."""
    places = matching.places(ordered).limit(max(size, TOTAL_LIMIT + 1))
    for _ in range(_LOOKS):
        found = (await connection.execute(places)).all()
        page = [(one[0], one.sort_value) for one in found[:size]]
        ids = [contact_id for contact_id, _ in page]
        rows = {row.id: row for row in await connection.execute(matching.by_id(ids))}
        # What was changed or deleted between the two statements is not where it was found.
        if all(_is_there(rows.get(contact_id), value) for contact_id, value in page):
            return Found([rows[one] for one in ids], len(found), exact=True)
    every = (await connection.execute(ordered.limit(size))).all()
    return Found(every, len(every))


def _is_there(row: sa.Row[Any] | None, sort_value: object) -> bool:
    return row is not None and row.delete_time is None and row.sort_value == sort_value
