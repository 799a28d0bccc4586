"""Duties outlive their faults, and tell of them as much as an operator can use."""

from collections.abc import Sequence

import sqlalchemy as sa
from structlog.testing import capture_logs

from crmsync_server.sync.duty import Duty
from tests.eventually import eventually


async def _logged(faults: Sequence[Exception | None]) -> list[tuple[str, bool]]:
    """Run a duty through these turns; return each log line, and whether it has a traceback."""
    left = list(faults)

    async def turn() -> float:
        fault = left.pop(0) if left else None
        if fault is not None:
            raise fault
        return 60.0

    duty = Duty("watch", turn)

    async def done() -> None:
        duty.wake()
        assert not left

    with capture_logs() as logs:
        duty.start()
        await eventually(done)
        await duty.stop()
    return [(line["event"], "exc_info" in line) for line in logs]


async def test_a_database_that_is_away_is_one_line_however_long_it_lasts() -> None:
    """And one more when it goes away again."""
    away = sa.exc.OperationalError("SELECT 1", {}, ConnectionRefusedError("refused"))
    told = await _logged([away, away, OSError("refused"), None, away, None])
    assert told == [("duty waits for the database", False)] * 2


async def test_any_other_fault_is_told_whole_each_time() -> None:
    """It is a fault of ours."""
    told = await _logged([ValueError("a"), ValueError("b")])
    assert told == [("duty failed, will try again", True)] * 2
