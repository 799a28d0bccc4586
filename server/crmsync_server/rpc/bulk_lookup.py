"""Who has the emails that a stream names, looked up while the rest of it comes."""

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self
from uuid import UUID

from crmsync_server.store import bulk
from crmsync_server.store.bulk import Head, Operation
from crmsync_server.store.db import FAULTS, Database

_AT_ONCE = 1_000
_WORTH_IT = 0.5  # of the emails: for new contacts it is no use
_PATIENCE = 1.0  # seconds after the end of the stream; the longest lookups took milliseconds


class Lookup:
    """Looks emails up, a thousand at a time, each in a transaction of its own that locks nothing.

    What it finds can be out of date when the stream has ended, and what it could not find is looked
    up then: it saves time, and decides nothing.
    """

    def __init__(self, database: Database, org_id: str) -> None:
        """Begin with nothing known."""
        self._database = database
        self._org_id = org_id
        self._owners: dict[str, UUID] = {}
        self._waiting: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._worth_it = True

    async def __aenter__(self) -> Self:
        """Return the lookup; leaving the block ends what is under way."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up what is under way."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def want(self, heads: Iterable[Head]) -> None:
        """Look up who is meant by these, as soon as there are enough of them."""
        if self._worth_it:
            self._waiting += [
                one.email_key
                for one in heads
                if one.email_key and one.operation is not Operation.CREATE
            ]
            self._begin()

    async def owners(self) -> Mapping[str, UUID]:
        """Return who was found, without waiting long for what is under way."""
        if self._task:
            done, _ = await asyncio.wait([self._task], timeout=_PATIENCE)
            for one in done:
                one.result()
        return self._owners

    def _begin(self) -> None:
        if len(self._waiting) >= _AT_ONCE and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._look_all())

    async def _look_all(self) -> None:
        while self._worth_it and len(self._waiting) >= _AT_ONCE:
            keys, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            await self._look(keys)

    async def _look(self, keys: list[str]) -> None:
        try:
            async with self._database.org(self._org_id) as connection:
                found = await bulk.owners(connection, self._org_id, keys)
        except FAULTS:
            # Whoever takes the records meets it again, and tells.
            self._worth_it = False
        else:
            self._owners |= found
            self._worth_it = len(found) > len(keys) * _WORTH_IT
