"""Listing contacts: searched, filtered and ordered as the caller chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.tables import schema

SortValue = str | datetime | None


class SortField(StrEnum):
    """What contacts can be ordered by."""

    LAST_MESSAGE_TIME = "last_message_time"
    CREATE_TIME = "create_time"
    UPDATE_TIME = "update_time"
    NAME = "name"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Search:
    """Which contacts, and in which order; the id settles what is otherwise equal.

    text: part of the name, email or phone, without regard to case; empty means any.
    tags: all of them.
    """

    text: str = ""
    tags: Sequence[str] = ()
    field: SortField = SortField.LAST_MESSAGE_TIME
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order: after the contact with this sort value (None: without one) and id."""

    value: SortValue
    contact_id: UUID


async def page(
    connection: AsyncConnection,
    org_id: str,
    search: Search,
    *,
    size: int,
    after: Position | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return up to size contacts, each with its sort_value; those without one come last."""
    rows: list[sa.Row[Any]] = []
    # Two ranges of one index instead of NULLS LAST, which no index has in both directions.
    if after is None or after.value is not None:
        query = _range(org_id, search, after, valued=True).limit(size)
        rows.extend(await connection.execute(query))
        after = None
    if len(rows) < size:
        query = _range(org_id, search, after, valued=False).limit(size - len(rows))
        rows.extend(await connection.execute(query))
    return rows


async def count(connection: AsyncConnection, org_id: str, search: Search) -> int:
    """Return how many contacts a search finds in all."""
    query = sa.select(sa.func.count()).select_from(_contacts()).where(*_matching(org_id, search))
    return (await connection.execute(query)).scalar_one()


def _range(org_id: str, search: Search, after: Position | None, *, valued: bool) -> sa.Select[Any]:
    """Select the contacts with a sort value, or those without, in order."""
    contacts = _contacts()
    value, contact_id = _sort_value(search.field), contacts.c.id
    query = sa.select(contacts, value.label("sort_value")).where(*_matching(org_id, search))
    query = query.where(value.is_not(None) if valued else value.is_(None))
    if after is not None:
        here, there = sa.tuple_(contact_id), sa.tuple_(after.contact_id)
        if valued:
            here, there = sa.tuple_(value, contact_id), sa.tuple_(after.value, after.contact_id)
        query = query.where(here < there if search.descending else here > there)
    directed = sa.desc if search.descending else sa.asc
    return query.order_by(directed(value), directed(contact_id))


def _matching(org_id: str, search: Search) -> list[sa.ColumnElement[bool]]:
    contacts = _contacts()
    found = [contacts.c.org_id == org_id, contacts.c.delete_time.is_(None)]
    if search.text:
        searched = (contacts.c.name, contacts.c.email, contacts.c.phone)
        pattern = f"%{_literal(search.text)}%"
        found.append(sa.or_(*(column.ilike(pattern, escape="\\") for column in searched)))
    if search.tags:
        found.append(contacts.c.tags.contains(list(search.tags)))
    return found


def _literal(text: str) -> str:
    """Return a pattern that matches this text and no other."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _sort_value(field: SortField) -> sa.ColumnElement[Any]:
    contacts = _contacts()
    if field is SortField.NAME:
        return sa.func.nullif(contacts.c.name, "")
    if field is SortField.EMAIL:
        return contacts.c.email_key  # addresses compare without regard to case
    return contacts.c[field]


@cache
def _contacts() -> sa.Table:
    return schema().tables["contacts"]
