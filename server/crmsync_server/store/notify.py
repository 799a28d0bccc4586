"""Telling every process that something changed, a few times a second at most.

A notification is a hint, sent after the commit that it is about and never inside it: one NOTIFY
in each delivery's transaction makes all commits queue up behind each other. The tables are the
truth, and whoever listens also reads them now and then.
"""

import asyncio
from collections.abc import Iterable, Sequence

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.db import Database
from crmsync_server.store.statements import statement

WORK = "crmsync_work"
SESSION = "crmsync_session"
CONFIG = "crmsync_config"
CONNECTION = "crmsync_connection"
NOTICE = "crmsync_notice"
MESSAGE = "crmsync_message"

CHANNELS = (WORK, SESSION, CONFIG, CONNECTION, NOTICE, MESSAGE)

_INTERVAL = 0.2  # seconds between two notifications on a channel
_PAYLOAD_BYTES = 7999  # Postgres takes less than 8000
_ANYTHING = "*"
_BETWEEN = "\n"

_log = structlog.get_logger()


class Notifier:
    """Collects hints from every task of a process, and sends them joined."""

    def __init__(self, database: Database, interval: float = _INTERVAL) -> None:
        """Take the pool that notifications are sent through.

        Args:
            database: a PgBouncer may stand before it.
            interval: seconds between two notifications on a channel; the first goes at once.
        """
        self._channels = {name: _Channel(name, database, interval) for name in CHANNELS}

    def hint(self, channel: str, *hints: str) -> None:
        """Send these soon, to every process. Call it after the commit; it returns at once.

        Args:
            channel: one of CHANNELS.
            hints: what changed, on one line each.
        """
        self._channels[channel].add(hints)

    async def start(self) -> None:
        """Start sending."""
        for channel in self._channels.values():
            channel.start()

    async def stop(self) -> None:
        """Send what is pending, and stop."""
        await asyncio.gather(*(channel.stop() for channel in self._channels.values()))


async def send(connection: AsyncConnection, channel: str, payload: str) -> None:
    """Notify a channel when the transaction commits."""
    await connection.execute(statement("notify/send"), {"channel": channel, "payload": payload})


def joined(hints: Iterable[str]) -> str:
    """Return one payload for these: all of them, or `*` when they are too long together."""
    payload = _BETWEEN.join(sorted(hints))
    return payload if len(payload.encode()) <= _PAYLOAD_BYTES else _ANYTHING


def parted(payload: str) -> Sequence[str] | None:
    """Return the hints of a payload; None when anything may have changed."""
    hints = payload.split(_BETWEEN)
    return None if _ANYTHING in hints else hints


class _Channel:
    """The hints of one channel, and the task that sends them."""

    def __init__(self, name: str, database: Database, interval: float) -> None:
        self._name = name
        self._database = database
        self._interval = interval
        self._pending: set[str] = set()
        self._some = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, hints: Iterable[str]) -> None:
        self._pending.update(hints)
        if self._pending:
            self._some.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name=f"notify {self._name}")

    async def stop(self) -> None:
        self._stopping.set()
        self._some.set()
        if self._task is not None:
            await self._task

    async def _loop(self) -> None:
        while not self._stopping.is_set():
            await self._some.wait()
            self._some.clear()
            await self._flush()
            await self._pause()
        await self._flush()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _flush(self) -> None:
        if not self._pending:
            return
        hints, self._pending = self._pending, set()
        try:
            async with self._database.everyone() as connection:
                await send(connection, self._name, joined(hints))
        except (
            sa.exc.SQLAlchemyError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            OSError,
        ) as error:
            # Kept for the next turn: whoever listens would otherwise wait for its slow poll.
            self.add(hints)
            _log.warning("hints not sent", channel=self._name, error=str(error))
