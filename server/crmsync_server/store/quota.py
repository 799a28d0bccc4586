"""The shared allowance of a CRM account: one row per bucket, whichever replica draws on it.

The rows are locked, worked on and written back in one transaction; the arithmetic is that of
sync.quota_book. Moments are seconds since 1970, by the database's clock alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


@dataclass(slots=True)
class Book:
    """What all replicas have noted of one bucket.

    declared: how many calls in any period (seconds) the adapter says that the CRM allows.
    calls: how many it allows by its own words, as many as declared until it has told.
    arrival: when all that was granted is used up at the steady pace.
    rate: the share of calls that is granted since a 429, at the moment of `refused`; 1 without one.
    blocked_until: nothing is granted before; None when nothing is blocked.
    urgent: when somebody last asked for urgent calls; None when nobody has.
    reset: when the period begins anew; None when any period counts, wherever it begins.
    spent: how many calls may have been made until the end of a slot, by the slot's number.
    """

    bucket: str
    declared: int
    period: float
    calls: int
    arrival: float = 0.0
    rate: float = 1.0
    refused: float | None = None
    blocked_until: float | None = None
    urgent: float | None = None
    reset: float | None = None
    spent: dict[int, int] = field(default_factory=dict)


async def lock(
    connection: AsyncConnection, org_id: str, crm: str, fresh: Sequence[Book]
) -> tuple[list[Book], float]:
    """Return the books of some buckets, locked until the transaction ends, and the time.

    fresh: how a bucket begins that nobody has drawn on, or that had another period until now.
    """
    begun = sorted(fresh, key=lambda book: book.bucket)
    parameters = {"org_id": org_id, "crm": crm, "buckets": [book.bucket for book in begun]}
    rows = (await connection.execute(statement("quota/lock"), parameters)).all()
    if len(rows) < len(begun):
        await open(connection, org_id, crm, begun)
        rows = (await connection.execute(statement("quota/lock"), parameters)).all()
    found = {row.bucket: row for row in rows}
    books = [_book(found[book.bucket], book) for book in begun]
    return books, max(row.now for row in rows)


async def open(  # noqa: A001 - named like its statement; nobody imports it bare
    connection: AsyncConnection, org_id: str, crm: str, fresh: Sequence[Book]
) -> None:
    """Add the rows of buckets that nobody has drawn on."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "buckets": [book.bucket for book in fresh],
        "calls": [book.declared for book in fresh],
        "periods": [book.period for book in fresh],
    }
    await connection.execute(statement("quota/open"), parameters)


async def write(connection: AsyncConnection, org_id: str, crm: str, books: Sequence[Book]) -> None:
    """Write back books that were locked."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "buckets": [book.bucket for book in books],
        "arrivals": [book.arrival for book in books],
        "declared": [book.declared for book in books],
        "calls": [book.calls for book in books],
        "periods": [book.period for book in books],
        "rates": [book.rate for book in books],
        "refused": [book.refused for book in books],
        "blocked": [book.blocked_until for book in books],
        "urgent": [book.urgent for book in books],
        "resets": [book.reset for book in books],
        "first_slots": [min(book.spent, default=0) for book in books],
        "spent": [_array(book.spent) for book in books],
    }
    await connection.execute(statement("quota/write"), parameters)


async def read(
    connection: AsyncConnection, accounts: Sequence[tuple[str, str]]
) -> Sequence[tuple[str, str, Book, float]]:
    """Return every book of some accounts (organization, CRM) with its account, and the time."""
    parameters = {
        "org_ids": [org_id for org_id, _ in accounts],
        "crms": [crm for _, crm in accounts],
    }
    rows = await connection.execute(statement("quota/read"), parameters)
    return [
        (row.org_id, row.crm, _book(row, Book(row.bucket, row.declared, row.period, 0)), row.now)
        for row in rows
    ]


def _book(row: sa.Row[Any], fresh: Book) -> Book:
    if row.period != fresh.period:
        # Slots are shares of the period: those of another one tell nothing.
        return fresh
    spent = {row.first_slot + at: count for at, count in enumerate(row.spent) if count}
    return Book(
        row.bucket,
        fresh.declared,
        row.period,
        # What the CRM told stays true until somebody declares something else.
        row.calls if row.declared == fresh.declared else fresh.declared,
        row.arrival,
        row.rate,
        row.refused,
        row.blocked_until,
        row.urgent,
        row.reset,
        spent,
    )


def _array(spent: dict[int, int]) -> str:
    if not spent:
        return "{}"
    slots = range(min(spent), max(spent) + 1)
    return "{" + ",".join(str(spent.get(slot, 0)) for slot in slots) + "}"
