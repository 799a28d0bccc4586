"""The indexer: contacts that were written are found by their words a moment later."""

from crmsync_server.store import search_index
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty

_INTERVAL = 1.0
_BATCH = 4  # statements' worth of contacts, of at most a thousand each


class Indexer:
    """Follows the contacts of all organizations; each replica takes what no other has taken."""

    def __init__(self, database: Database) -> None:
        """Look every second."""
        self._database = database
        self._duty = Duty("indexer", self.turn)

    def start(self) -> None:
        """Begin with a first look at once."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Index all that was written; return the seconds to the next look."""
        followed = False
        while await self._some():
            followed = True
        if followed:
            async with self._database.everyone() as connection:
                await search_index.tidy(connection)
        return _INTERVAL

    async def _some(self) -> int:
        async with self._database.everyone() as connection:
            return await search_index.follow(connection, size=_BATCH)
