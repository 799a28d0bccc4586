"""Keeping what webhooks tell, many of them by one commit: each waits for the one that it is in."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from crmsync_server.store import whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.whatsapp import Told

_TOGETHER = 1000  # changes of one commit
# Seconds between two commits: of the senders that one answers the next takes in what they send now,
# beside what has been waiting.
_GATHERING = 0.002
_MOST_WAITING = 5000  # changes; more than a database that is well ever lets pile up


class CrowdedError(RuntimeError):
    """More waits to be kept than may."""


class _Waiting(NamedTuple):
    told: Sequence[Told]
    done: asyncio.Future[int]


class InboxWriter:
    """Writes what comes in while the commit before is under way together by the next one."""

    def __init__(self, database: Database) -> None:
        """Take the database; nothing runs before something is to be kept."""
        self._database = database
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, told: Sequence[Told]) -> int:
        """Keep changes, and return how many of them are new once they are committed.

        Raises CrowdedError, or what kept them from being stored.
        """
        if self._count >= _MOST_WAITING:
            raise CrowdedError
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(told, done))
        self._count += len(told)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="inbox")
        return await done

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_some(self._next())
                await asyncio.sleep(_GATHERING)
        finally:
            self._writing = None

    def _next(self) -> Sequence[_Waiting]:
        size = taken = 0
        while taken < len(self._waiting) and (size == 0 or size < _TOGETHER):
            size += len(self._waiting[taken].told)
            taken += 1
        some, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._count -= size
        return some

    async def _write_some(self, some: Sequence[_Waiting]) -> None:
        try:
            new = await self._inserted([one for waiting in some for one in waiting.told])
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            if len(some) == 1:
                _tell(some[0], error)
                return
            # What cannot be kept must not keep others from it.
            for waiting in some:
                await self._write_some([waiting])
            return
        for waiting in some:
            count = 0
            for one in waiting.told:
                # Of the same change in two webhooks the first one is new.
                count += (one.org_id, one.key) in new
                new.discard((one.org_id, one.key))
            if not waiting.done.done():
                waiting.done.set_result(count)

    async def _inserted(self, told: Sequence[Told]) -> set[tuple[str, bytes]]:
        async with self._database.everyone() as connection:
            return await whatsapp.insert(connection, told)


def _tell(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
