"""Failures: the contacts that a CRM refused, and those that wait because it refuses credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.filter import compile_filter
from crmsync_server.store.filter_fields import of_failures
from crmsync_server.store.filter_terms import Clause
from crmsync_server.store.narrowed import narrowed
from crmsync_server.store.queue import Order, slot
from crmsync_server.store.statements import statement
from crmsync_server.store.states import SyncStatus
from crmsync_server.store.tables import schema

# A failed attempt is the last change of its standing.
_ERROR_TIME = "update_time"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order, newest first: after the failure of this time and contact."""

    error_time: datetime
    contact_id: UUID


@dataclass(frozen=True, slots=True)
class Retry:
    """Which failures to queue again, and how.

    contact_id: this one alone; None means all that pass the condition.
    requires_email: leave out contacts without an email.
    waits: how long to wait after so many retries, from none up, the last for any more; None starts
        the count of retries again and waits no time.
    """

    contact_id: UUID | None = None
    requires_email: bool = False
    condition: Clause | None = None
    waits: Sequence[timedelta] | None = None


def has_failed(row: sa.Row[Any]) -> bool:
    """Return whether a row of contact_syncs is a failure."""
    if row.sync_status == SyncStatus.QUEUED:
        return bool(row.error_code == "CREDENTIALS_REFUSED")
    return bool(row.sync_status == SyncStatus.ERROR)


def condition(filter_text: str, max_retries: int) -> Clause | None:
    """Return the condition that a filter of failures states; None when it is empty.

    max_retries: what `can_retry` is measured by.

    Raises:
        InvalidFilterError: the filter is wrong.
    """
    standings, contacts = _sources()
    return compile_filter(filter_text, of_failures(standings, contacts, max_retries), "filter")


async def list(  # noqa: A001 - named like its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    condition: Clause | None,
    *,
    size: int,
    after: Place | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of failures, newest first: rows of contact_syncs with their contact's email."""
    query = newest_first(org_id, crm, condition, after).limit(size)
    rows: Sequence[sa.Row[Any]] = (await connection.execute(query)).all()
    return rows


def newest_first(
    org_id: str, crm: str, condition: Clause | None, after: Place | None
) -> sa.Select[Any]:
    """Return the query of list, without its limit."""
    standings, contacts = _sources()
    failed_at, contact_id = standings.c[_ERROR_TIME], standings.c.contact_id
    # For which paused session one is held is told where it is looked at alone: standing/get.sql.
    held = sa.null().label("paused_session_id")
    query = _failed(sa.select(standings, contacts.c.email, held), org_id, crm, condition)
    if after is not None:
        place = sa.tuple_(after.error_time, after.contact_id)
        query = query.where(sa.tuple_(failed_at, contact_id) < place)
    return query.order_by(failed_at.desc(), contact_id.desc())


async def count(
    connection: AsyncConnection, org_id: str, crm: str, condition: Clause | None
) -> int:
    """Return how many failures there are; without a condition that is known and not counted."""
    if condition is None:
        return await total(connection, org_id, crm)
    query = _failed(sa.select(sa.func.count()), org_id, crm, condition)
    return int((await connection.execute(query)).scalar_one())


async def total(connection: AsyncConnection, org_id: str, crm: str) -> int:
    """Return how many failures there are in all, at a cost that does not follow their number."""
    parameters = {"org_id": org_id, "crm": crm}
    return int((await connection.execute(statement("failure/total"), parameters)).scalar_one())


async def retry(connection: AsyncConnection, org_id: str, asked: Retry, order: Order) -> int:
    """Queue failures again and open their session; return how many.

    The order's priority and force are those of a first try: a failure comes in its turn, and what
    the CRM holds already is not sent.
    """
    parameters = {
        "org_id": org_id,
        "crm": order.crm,
        "session_id": order.session_id,
        "kind": order.kind,
        "creator": order.creator,
        "slot": slot(),
        "contact_id": asked.contact_id,
        "requires_email": asked.requires_email,
        "reset": asked.waits is None,
        "waits": [*(asked.waits or ())],
    }
    query = narrowed("failure/retry", asked.condition)
    return int((await connection.execute(query, parameters)).scalar_one())


def _failed(
    query: sa.Select[Any], org_id: str, crm: str, condition: Clause | None
) -> sa.Select[Any]:
    """Let a query read failures, as contact_syncs_failed_idx has them, with their contacts."""
    standings, contacts = _sources()
    status, code = standings.c.sync_status, standings.c.error_code
    refused = sa.and_(
        status == sa.literal_column("'QUEUED'"),
        code == sa.literal_column("'CREDENTIALS_REFUSED'"),
    )
    query = query.select_from(standings.outerjoin(contacts, sa.true())).where(
        standings.c.org_id == org_id,
        standings.c.crm == crm,
        sa.or_(status == sa.literal_column("'ERROR'"), refused),
    )
    return query if condition is None else query.where(condition)


@cache
def _sources() -> tuple[sa.FromClause, sa.FromClause]:
    """Return the standings as `cs` and their contacts as `c`, which deleted ones do not have.

    Each contact is looked up for its standing: a join is free to read a whole organization.
    """
    tables = schema().tables
    standings, contacts = tables["contact_syncs"].alias("cs"), tables["contacts"]
    living = sa.select(contacts).where(
        contacts.c.org_id == standings.c.org_id,
        contacts.c.id == standings.c.contact_id,
        contacts.c.delete_time.is_(None),
    )
    return standings, living.limit(1).lateral("c")
