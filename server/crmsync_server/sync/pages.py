"""Reading events: where a watch begins, and the pages that follow."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ResumeTokenExpiredError
from crmsync_server.store import event
from crmsync_server.store.db import Database
from crmsync_server.store.event import Bounds
from crmsync_server.store.place import Named, Place, Start, digest_of, token

_PAGE = 500
_READERS = 4  # watchers that read at the same time: deliveries need connections too

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class Event(Generic[View]):
    """One event as watchers get it: rendered once, with the token of the place after it."""

    place: Place
    crm: str
    view: View
    token: str


@dataclass(frozen=True, slots=True)
class Page(Generic[View]):
    """Events in order, and the place after them.

    more: whether the next page may be read at once.
    """

    events: Sequence[Event[View]]
    end: Place
    more: bool


class Pages(Generic[View]):
    """The events of any organization, from the database."""

    def __init__(self, database: Database, render: Callable[[sa.Row[Any]], View]) -> None:
        """Read through this pool, and render each row."""
        self._database = database
        self._render = render
        self._readers = asyncio.Semaphore(_READERS)

    async def begin(self, org_id: str, start: Start) -> tuple[int, Place]:
        """Return the system whose events are watched, and the place where the watch begins.

        Raises ResumeTokenExpiredError when events after the token are no longer kept, or when this
        database does not know the token's event: it was set back to a time before, or is another.
        """
        async with self._readers, self._database.org(org_id) as connection:
            bounds = await event.bounds(connection)
            place: Place | None
            if start.token is not None:
                place = await _found(connection, org_id, start.token, bounds)
            elif start.from_beginning:
                place = bounds.oldest
            else:
                place = await event.last(connection, org_id, bounds)
        if place is None:
            raise _expired(org_id, bounds)
        return bounds.system, place

    async def after(self, org_id: str, place: Place) -> Page[View]:
        """Read a page for one watcher; raises ResumeTokenExpiredError when it came too late."""
        async with self._readers, self._database.org(org_id) as connection:
            bounds = await event.bounds(connection)
            if place.time < bounds.kept_from:
                raise _expired(org_id, bounds)
            return await self.read(connection, org_id, place, bounds)

    async def read(
        self, connection: AsyncConnection, org_id: str, place: Place, bounds: Bounds
    ) -> Page[View]:
        """Read the next events after a place."""
        rows = await event.page(connection, org_id, place, bounds.settled, size=_PAGE)
        events = [self._event(org_id, bounds.system, row) for row in rows]
        end = events[-1].place if events else place
        more = len(events) == _PAGE
        return Page(events, end if more else bounds.after(end), more)

    def _event(self, org_id: str, system: int, row: sa.Row[Any]) -> Event[View]:
        place = event.place_of(row)
        return Event(place, row.crm, self._render(row), token(org_id, system, place))


async def _found(
    connection: AsyncConnection, org_id: str, named: Named, bounds: Bounds
) -> Place | None:
    """Return the place that a token names, None when it is not one of this database any more."""
    kept = named.time >= bounds.kept_from.replace(microsecond=0)
    if not kept or named.system != digest_of(str(bounds.system)):
        return None
    if border := named.border:
        # What lies ahead of every transaction is of a future that was lost.
        return border if border.key.transaction <= bounds.settled else None
    return await event.find(connection, org_id, named)


def _expired(org_id: str, bounds: Bounds) -> ResumeTokenExpiredError:
    oldest = token(org_id, bounds.system, bounds.oldest)
    return ResumeTokenExpiredError(oldest, bounds.kept_from)
