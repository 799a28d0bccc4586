"""Clearing away what nobody asks for any more: old webhooks of WhatsApp, and hours of callers."""

from datetime import timedelta

from crmsync_server.store import caller_limit, message, whatsapp
from crmsync_server.store.db import Database
from crmsync_server.sync.duty import Duty

_INTERVAL = 3600.0
_TOGETHER = 1000
_RETENTION = timedelta(days=8)  # Meta sends a webhook again for seven days
_STATUS_RETENTION = timedelta(days=30)


class Clearing:
    """Keeps the tables of conversations that grow with time within their retentions."""

    def __init__(self, database: Database) -> None:
        """Clear away every hour."""
        self._database = database
        self._duty = Duty("clearing", self.turn)

    def start(self) -> None:
        """Begin with a first round at once."""
        self._duty.start()

    async def stop(self) -> None:
        """Stop clearing away."""
        await self._duty.stop()

    async def turn(self) -> float:
        """Clear away once; return the seconds to the next time."""
        done = _TOGETHER
        while done == _TOGETHER:
            async with self._database.everyone() as connection:
                done = await whatsapp.purge(connection, age=_RETENTION, size=_TOGETHER)
        done = _TOGETHER
        while done == _TOGETHER:
            async with self._database.everyone() as connection:
                done = await message.purge_statuses(
                    connection, age=_STATUS_RETENTION, size=_TOGETHER
                )
        async with self._database.everyone() as connection:
            await caller_limit.purge(connection)
        return _INTERVAL
