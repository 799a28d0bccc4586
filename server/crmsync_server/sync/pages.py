"""Reading events: where a watch begins, and the pages that follow."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ResumeTokenExpiredError
from crmsync_server.store import event
from crmsync_server.store.db import Database
from crmsync_server.store.event import Bounds
from crmsync_server.store.place import Named, Place, Start, digest_of, named, token

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


class Log(Protocol):
    """What events are read from: a module of the store, such as store.event."""

    def scope(self, org_id: str) -> str:
        """Return what tokens are bound to."""

    async def bounds(self, connection: AsyncConnection) -> Bounds:
        """Return what can be told."""

    async def last(self, connection: AsyncConnection, org_id: str, bounds: Bounds) -> Place:
        """Return the place after everything that can be told."""

    async def page(
        self, connection: AsyncConnection, org_id: str, after: Place, settled: int, *, size: int
    ) -> Sequence[sa.Row[Any]]:
        """Return what comes next; fewer than size means that there is no more."""

    async def find(self, connection: AsyncConnection, org_id: str, named: Named) -> Place | None:
        """Return the place that a token names; None when it is not of this database."""

    def place_of(self, row: sa.Row[Any]) -> Place:
        """Return the place right after a row."""


class Pages(Generic[View]):
    """The events of any organization, from the database."""

    def __init__(
        self, database: Database, render: Callable[[sa.Row[Any]], View], log: Log = event
    ) -> None:
        """Read a log through this pool, and render each row."""
        self.log = log
        self._database = database
        self._render = render
        self._readers = asyncio.Semaphore(_READERS)

    def token(self, org_id: str, system: int, place: Place) -> str:
        """Return the token of a place."""
        return token(self.log.scope(org_id), system, place)

    def start(self, org_id: str, given: str) -> Start:
        """Return the place of a token, to begin there."""
        return Start(named(self.log.scope(org_id), given))

    async def begin(self, org_id: str, start: Start) -> tuple[int, Place]:
        """Return the system whose events are watched, and the place where the watch begins.

        Raises ResumeTokenExpiredError when events after the token are no longer kept, or when this
        database does not know the token's event: it was set back to a time before, or is another.
        """
        async with self._readers, self._database.org(org_id) as connection:
            bounds = await self.log.bounds(connection)
            place: Place | None
            if start.token is not None:
                place = await self._found(connection, org_id, start.token, bounds)
            elif start.from_beginning:
                place = bounds.oldest
            else:
                place = await self.log.last(connection, org_id, bounds)
        if place is None:
            raise self._expired(org_id, bounds)
        return bounds.system, place

    async def after(self, org_id: str, place: Place) -> Page[View]:
        """Read a page for one watcher; raises ResumeTokenExpiredError when it came too late."""
        async with self._readers, self._database.org(org_id) as connection:
            bounds = await self.log.bounds(connection)
            if place.time < bounds.kept_from:
                raise self._expired(org_id, bounds)
            return await self.read(connection, org_id, place, bounds)

    async def read(
        self, connection: AsyncConnection, org_id: str, place: Place, bounds: Bounds
    ) -> Page[View]:
        """Read the next events after a place."""
        rows = await self.log.page(connection, org_id, place, bounds.settled, size=_PAGE)
        events = [self._event(org_id, bounds.system, row) for row in rows]
        end = events[-1].place if events else place
        more = len(events) == _PAGE
        return Page(events, end if more else bounds.after(end), more)

    def _event(self, org_id: str, system: int, row: sa.Row[Any]) -> Event[View]:
        place = self.log.place_of(row)
        return Event(place, row.crm, self._render(row), self.token(org_id, system, place))

    async def _found(
        self, connection: AsyncConnection, org_id: str, named: Named, bounds: Bounds
    ) -> Place | None:
        """Return the place that a token names; None when this database does not know it."""
        kept = named.time >= bounds.kept_from.replace(microsecond=0)
        if not kept or named.system != digest_of(str(bounds.system)):
            return None
        if border := named.border:
            # What lies ahead of every transaction is of a future that was lost.
            return border if border.key.transaction <= bounds.settled else None
        return await self.log.find(connection, org_id, named)

    def _expired(self, org_id: str, bounds: Bounds) -> ResumeTokenExpiredError:
        oldest = self.token(org_id, bounds.system, bounds.oldest)
        return ResumeTokenExpiredError(oldest, bounds.kept_from)
