"""Renewing a lease while its work goes on, so that a lease can be short and the work long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

_log = structlog.get_logger()


@asynccontextmanager
async def renewing(renew: Callable[[], Awaitable[None]], interval: float) -> AsyncIterator[None]:
    """Call renew every interval seconds for as long as the block runs."""
    task = asyncio.create_task(_keep(renew, interval), name="renew lease")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep(renew: Callable[[], Awaitable[None]], interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            await renew()
        except Exception:  # noqa: BLE001 - the next renewal may succeed before the lease is over
            _log.warning("a lease was not renewed", exc_info=True)
