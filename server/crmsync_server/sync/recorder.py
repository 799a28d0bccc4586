"""Writing down outcomes: batches that end while another is being written are written together.

One transaction for all that waited costs little more than one for a single batch, and batches of
one session would wait for each other's commit anyway.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from crmsync_server.store.queue import Finished
from crmsync_server.store.response_times import Answered

_MOST = 1000
# One prepares its rows while the other holds the session's row and commits.
_WRITERS = 2

Batch = Sequence[Finished]
Calls = Sequence[Answered]
Write = Callable[[Batch, Calls], Awaitable[None]]


class Recorder:
    """Passes finished attempts on to write, two calls at a time and several batches in a call."""

    def __init__(self, write: Write) -> None:
        """Write through this function."""
        self._write = write
        self._waiting: deque[tuple[Batch, Calls, asyncio.Future[None]]] = deque()
        self._writers: set[asyncio.Task[None]] = set()

    async def record(self, batch: Batch, calls: Calls = ()) -> None:
        """Return when the batch and its calls are written; raises what write raised."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, calls, written))
        if len(self._writers) < _WRITERS:
            self._writers.add(asyncio.create_task(self._write_all(), name="record"))
        await written

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                taken = self._take()
                batch = [one for batch, _, _ in taken for one in batch]
                calls = [call for _, calls, _ in taken for call in calls]
                fault = await self._fault_of(batch, calls)
                for _, _, written in taken:
                    _settle(written, fault)
        finally:
            # At once, not by a callback: whoever was woken above may record again before that ran,
            # and would count on a writer that looks at nothing any more.
            self._writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> Sequence[tuple[Batch, Calls, asyncio.Future[None]]]:
        taken = [self._waiting.popleft()]
        size = len(taken[0][0])
        while self._waiting and size + len(self._waiting[0][0]) <= _MOST:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0])
        return taken

    async def _fault_of(self, batch: Batch, calls: Calls) -> Exception | None:
        try:
            await self._write(batch, calls)
        except Exception as error:  # noqa: BLE001 - it is raised again by whoever recorded
            return error
        return None


def _settle(written: asyncio.Future[None], fault: Exception | None) -> None:
    if written.done():
        return
    if fault is None:
        written.set_result(None)
    else:
        written.set_exception(fault)
