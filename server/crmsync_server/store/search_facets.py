"""Facets: which values the contacts that a search finds have, and how often."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.search_query import Matching
from crmsync_server.store.tables import schema

SAMPLE = 10_000
_MOST_VALUES = 20
_SIZE = ""


class Counted(NamedTuple):
    """How often a field has a value; the field of a standing is `sync.` and the CRM."""

    field: str
    value: str
    number: int


async def facets(
    connection: AsyncConnection, matching: Matching, names: Sequence[str]
) -> tuple[int, Sequence[Counted]]:
    """Count over all that match, or 10,000 of them; return over how many, and the counts.

    Of each field the 20 most frequent values, the most frequent first; equal ones by value.

    Args:
        connection: a transaction, prepared for searching.
        matching: what is searched for.
        names: of `tags`, `company`, `domain_id`, `email_domain` and `sync`.
    """
    if not names:
        return 0, ()
    hits = _hits(matching)
    size = sa.select(
        sa.literal(_SIZE).label("field"),
        sa.literal("").label("value"),
        sa.func.count().label("number"),
    ).select_from(hits)
    counts = [sa.select(_FACETS[name](hits)) for name in names]
    answer = await connection.execute(sa.union_all(size, *counts))
    found = [Counted(*row) for row in answer]
    [whole] = [one.number for one in found if one.field == _SIZE]
    kept = [one for one in found if one.field != _SIZE]
    return whole, sorted(kept, key=lambda one: (one.field, -one.number, one.value))


def _hits(matching: Matching) -> sa.CTE:
    rows = matching.rows().limit(SAMPLE).subquery()
    domain = sa.func.split_part(rows.c.email_key, "@", 2)
    query = sa.select(
        rows.c.org_id, rows.c.id, rows.c.tags, rows.c.company, rows.c.domain_id, domain.label("at")
    )
    return query.cte("hits").prefix_with("MATERIALIZED")


def _most_frequent(field: str, value: sa.ColumnElement[Any], source: sa.FromClause) -> sa.Subquery:
    """Count the contacts that have each value, written as most of them do.

    Filters compare without regard to case: so do counts, or a value would find others as well.
    """
    text = sa.cast(value, sa.Text)
    same, number = sa.func.lower(text), sa.func.count(source.c.id.distinct())
    usual = sa.func.mode().within_group(text)
    query = (
        sa.select(sa.literal(field).label("field"), usual.label("value"), number.label("number"))
        .select_from(source)
        .where(value.is_not(None), text != sa.literal_column("''"))
        .group_by(same)
        .order_by(number.desc(), same)
        .limit(_MOST_VALUES)
    )
    return query.subquery()


def _of(field: str, column: str) -> Callable[[sa.CTE], sa.Subquery]:
    return lambda hits: _most_frequent(field, hits.c[column], hits)


def _tags(hits: sa.CTE) -> sa.Subquery:
    each = sa.select(hits.c.id, sa.func.unnest(hits.c.tags).label("tag")).subquery()
    return _most_frequent("tags", each.c.tag, each)


def _sync(hits: sa.CTE) -> sa.Subquery:
    """Count the statuses at each CRM; each standing is looked up by its key."""
    standings = _standings()
    own = (
        sa.select(standings.c.crm, standings.c.sync_status)
        .where(standings.c.org_id == hits.c.org_id, standings.c.contact_id == hits.c.id)
        .offset(0)
        .lateral("own")
    )
    field = sa.literal("sync.") + own.c.crm
    query = (
        sa.select(
            field.label("field"),
            own.c.sync_status.label("value"),
            sa.func.count().label("number"),
        )
        .select_from(hits.join(own, sa.true()))
        .group_by(own.c.crm, own.c.sync_status)
    )
    return query.subquery()


_FACETS: Mapping[str, Callable[[sa.CTE], sa.Subquery]] = {
    "tags": _tags,
    "company": _of("company", "company"),
    "domain_id": _of("domain_id", "domain_id"),
    "email_domain": _of("email_domain", "at"),
    "sync": _sync,
}


@cache
def _standings() -> sa.Table:
    return schema().tables["contact_syncs"]
