"""The indexer: contacts that were written are found by their words a moment later."""

import time

from crmsync_server.store import search_index
from crmsync_server.store.db import Database
from crmsync_server.store.search_index import Followed
from crmsync_server.sync.duty import Duty

_INTERVAL = 1.0
# Indexing a contact costs three times what writing it does: while many are written it takes a
# quarter of the time, so that they are written first.
_REST = 3.0
_LONGEST_REST = 2.0  # seconds; a pool that is used up is no reason for more


class Indexer:
    """Follows the contacts of all organizations; each replica takes what no other has taken."""

    def __init__(self, database: Database) -> None:
        """Look every second."""
        self._database = database
        self._duty = Duty("indexer", self.turn)
        self._untidy = True  # for a server that was before

    def start(self) -> None:
        """Begin with a first look at once."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Index some of what was written; return the seconds to the next look."""
        started = time.perf_counter()
        followed = await self._follow()
        if not followed.statement_count:
            await self._tidy()
            return _INTERVAL
        self._untidy = True
        spent = time.perf_counter() - started
        return min(spent * _REST, _LONGEST_REST) if followed.busy else 0.0

    async def _follow(self) -> Followed:
        async with self._database.everyone() as connection:
            return await search_index.follow(connection)

    async def _tidy(self) -> None:
        if self._untidy:
            async with self._database.everyone() as connection:
                await search_index.tidy(connection)
            self._untidy = False
