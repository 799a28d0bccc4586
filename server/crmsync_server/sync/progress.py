"""The hub: one reader of sessions, many watchers.

Hints name the sessions that moved. Those that somebody watches are read with one statement for all
of them, at most ten times a second, and their newest state is put before every watcher. A watcher
that is slow finds the newest state when it looks, never a backlog; the final state is the last one
put there, so nobody misses it, and is read at once. A slow poll stands behind the hints.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.errors import DrainingError, SessionNotFoundError
from crmsync_server.store import session as sessions
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty

_BETWEEN_READS = 0.1
_POLL = 2.0

Key = tuple[str, UUID]
View = TypeVar("View")
Prepare = Callable[[Sequence[sa.Row[Any]]], Awaitable[Callable[[sa.Row[Any]], View]]]


class _Topic(Generic[View]):
    """One watched session: its newest state, and the event that announces the next one."""

    def __init__(self) -> None:
        self.revision = 0
        self.view: View | None = None
        self.ended = False
        self.unknown = False
        self.moved = asyncio.Event()
        self.watchers = 0

    def put(self, row: sa.Row[Any] | None, render: Callable[[sa.Row[Any]], View]) -> None:
        if row is None:
            self.unknown = True
        elif row.revision > self.revision:
            self.revision, self.ended = row.revision, row.end_time is not None
            self.view = render(row)
        else:
            return
        self.announce()

    def announce(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class ProgressHub(Generic[View]):
    """Puts the newest state of sessions before whoever watches them."""

    def __init__(
        self,
        database: Database,
        render: Callable[[sa.Row[Any]], View],
        prepare: Prepare[View] | None = None,
    ) -> None:
        """Render each state once, however many watch it.

        prepare: reads what rendering the states that have moved needs besides, for all at once.
        """
        self._database = database
        self._render = render
        self._prepare = prepare
        self._topics: dict[Key, _Topic[View]] = {}
        self._moved: set[Key] = set()
        self._closed = False
        self._ended = asyncio.Event()  # since the last reading, some watched session has
        self._polled = 0.0  # when all topics were read last, by the loop's clock
        self._duty = Duty("progress", self._turn)

    def start(self) -> None:
        """Begin reading."""
        self._duty.start()

    async def stop(self) -> None:
        """End every watch with DrainingError, and stop reading."""
        self._closed = True
        for topic in self._topics.values():
            topic.announce()
        await self._duty.stop()

    def on_session(self, hint: str | None) -> None:
        """Take a hint `org/session id`; None when any session may have moved."""
        moved = set(self._topics) if hint is None else {key for key in (_key(hint),) if key}
        watched = moved & self._topics.keys()
        if watched:
            self._moved |= watched
            self._duty.wake()

    def on_ended(self, hint: str) -> None:
        """Take a hint `org/session id` of a session that has ended: its watchers wait for that."""
        self.on_session(hint)
        if _key(hint) in self._topics:
            self._ended.set()

    async def watch(
        self, org_id: str, session_id: UUID, after_revision: int, patience: float
    ) -> AsyncGenerator[View | None]:
        """Yield the session's state, then each newer one that is seen in time, last the final one.

        Yields None when there was no news for patience seconds. Ends after the final state, at once
        when the caller has it already.

        after_revision: the revision that the caller has; only newer states are yielded.
        Raises SessionNotFoundError, and DrainingError with a resume token when the hub stops.
        """
        seen = after_revision
        with self._attend((org_id, session_id)) as topic:
            while True:
                moved = topic.moved
                if topic.unknown:
                    raise SessionNotFoundError(str(session_id))
                if topic.view is not None and topic.revision > seen:
                    seen, ended, view = topic.revision, topic.ended, topic.view
                    yield view
                    if ended:
                        return
                elif topic.ended:
                    # A revision above the last one is of a database that was set back since.
                    if topic.view is not None and topic.revision < seen:
                        yield topic.view
                    return
                elif self._closed:
                    raise DrainingError(resume_token=sessions.resume_token(session_id, seen))
                elif not await _within(patience, moved):
                    yield None

    @contextmanager
    def _attend(self, key: Key) -> Iterator[_Topic[View]]:
        topic = self._topics.setdefault(key, _Topic())
        topic.watchers += 1
        self._moved.add(key)
        self._duty.wake()
        try:
            yield topic
        finally:
            topic.watchers -= 1
            if topic.watchers == 0 and self._topics.get(key) is topic:
                del self._topics[key]

    async def _turn(self) -> float:
        moved, self._moved = self._moved & self._topics.keys(), set()
        now = asyncio.get_running_loop().time()
        if not moved or now - self._polled > _POLL:
            # Hints may have been lost, however many arrive: the table is the truth.
            moved, self._polled = set(self._topics), now
        if not moved:
            return _POLL
        self._ended.clear()
        await self._read(sorted(moved))
        await _within(_BETWEEN_READS, self._ended)
        return 0.0 if self._moved else _POLL

    async def _read(self, keys: Sequence[Key]) -> None:
        async with self._database.everyone() as connection:
            rows = await sessions.newest(connection, keys)
        found = {(row.org_id, row.id): row for row in rows}
        render = await self._prepared(
            [row for key, row in found.items() if self._is_news(key, row)]
        )
        for key in keys:
            if topic := self._topics.get(key):
                topic.put(found.get(key), render)

    async def _prepared(self, rows: Sequence[sa.Row[Any]]) -> Callable[[sa.Row[Any]], View]:
        return await self._prepare(rows) if self._prepare and rows else self._render

    def _is_news(self, key: Key, row: sa.Row[Any]) -> bool:
        topic = self._topics.get(key)
        return topic is not None and bool(row.revision > topic.revision)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _key(hint: str) -> Key | None:
    org_id, _, session_id = hint.rpartition("/")
    try:
        return (org_id, UUID(session_id))
    except ValueError:
        return None
