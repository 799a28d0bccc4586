"""The recorder: whatever ends while others are written is written too."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from crmsync_server.store.queue import Finished
from crmsync_server.store.response_times import Answered
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from crmsync_server.sync.recorder import Recorder

BATCH = [Finished(UUID(int=1), 1, SyncStatus.COMPLETE, AttemptOutcome.SYNCED)] * 600


class Slow:
    """Writes when it is told to, all that wait at once."""

    def __init__(self) -> None:
        """Begin with a closed gate."""
        self.written = 0
        self.gate = asyncio.Event()
        self.both = asyncio.Barrier(3)

    async def write(self, batch: Sequence[Finished], _calls: Sequence[Answered]) -> None:
        """Wait for the gate, then count."""
        if not self.gate.is_set():
            await self.both.wait()
            await self.gate.wait()
        self.written += len(batch)


async def test_who_records_again_when_both_writers_end_at_once_is_written() -> None:
    """A writer that has ended must not be counted on."""
    slow = Slow()
    recorder = Recorder(slow.write)

    async def record_twice() -> None:
        await recorder.record(BATCH)
        await recorder.record(BATCH)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(record_twice())
        await slow.both.wait()
        slow.gate.set()
    assert slow.written == 4 * len(BATCH)


async def test_a_fault_is_raised_to_everybody_whose_batch_it_was() -> None:
    """And the next batch is written as if nothing had been."""
    faults = [OSError("away"), None]

    async def write(_batch: Sequence[Finished], _calls: Sequence[Answered]) -> None:
        if fault := faults.pop(0):
            raise fault

    recorder = Recorder(write)
    outcomes = await asyncio.gather(
        recorder.record(BATCH[:1]), recorder.record(BATCH[:1]), return_exceptions=True
    )
    assert [type(one) for one in outcomes] == [OSError, OSError]
    await recorder.record(BATCH)
    assert not faults
