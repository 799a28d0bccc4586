"""Handing messages from what makes them to the call that sends them, whose reader may stop.

A handler that rests in a message which nobody takes cannot be woken: what is not to be kept by a
reader that stopped must be held by somebody else.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class StuckError(Exception):
    """What was given is not taken."""


class Handover(Generic[Item]):
    """Passes items on, one at a time."""

    def __init__(self, patience: float) -> None:
        """Take for how many seconds an item waits for the one before it to be taken."""
        self._patience = patience
        self._items: asyncio.Queue[Item | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(1)

    async def give(self, item: Item) -> None:
        """Pass an item on; raises StuckError where the one before it is not taken."""
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError as error:
            raise StuckError from error
        self._items.put_nowait(item)

    def end(self) -> None:
        """Tell that no more will come."""
        self._items.put_nowait(None)

    async def taken(self) -> AsyncGenerator[Item]:
        """Yield what is given, to its end."""
        while (item := await self._items.get()) is not None:
            self._room.release()
            yield item
