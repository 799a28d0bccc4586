"""Calling an adapter: whatever it does, every delivery has an outcome in the end.

A call runs in a task of its own, so that a server that stops can give up waiting for the CRM
without losing what it knows: the worker that waits is never cancelled itself.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from structlog.typing import FilteringBoundLogger

from crmsync_server.crm.adapter import Adapter, CredentialsRefusedError, Delivery
from crmsync_server.crm.outcomes import Outcome, Postponed, Unknown

Answer = Sequence[Outcome]


class Calls:
    """The calls of one lane to its adapter."""

    def __init__(
        self, adapter: Adapter, clock: Callable[[], datetime], log: FilteringBoundLogger
    ) -> None:
        """Call this adapter."""
        self._adapter = adapter
        self._clock = clock
        self._log = log
        self._under_way: set[asyncio.Task[Answer]] = set()
        self._given_up = False

    async def push(self, batch: Sequence[Delivery]) -> Answer:
        """Push a batch; one outcome for each delivery. Raises CredentialsRefusedError."""
        if self._given_up:
            message = "the server stops, nothing was sent"
            return [Postponed(self._clock(), "RELEASED", message, lane=False)] * len(batch)
        answer = await self._answer(self._adapter.push(batch), len(batch))
        return [Unknown(answer)] * len(batch) if isinstance(answer, str) else answer

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Answer | None:
        """Ask about a ticket; None when that could not be done, and is to be tried again."""
        try:
            answer = await self._answer(self._adapter.settle(ticket, batch), len(batch))
        except CredentialsRefusedError as error:
            answer = str(error)
        if isinstance(answer, str):
            self._log.warning("ticket not settled", ticket=ticket, why=answer)
            return None
        return answer

    def give_up(self) -> None:
        """Wait for no answer any longer, and send nothing more."""
        self._given_up = True
        for call in self._under_way:
            call.cancel()

    async def _answer(self, work: Coroutine[Any, Any, Answer], count: int) -> Answer | str:
        """Return the adapter's outcomes, or why there are none."""
        timeout = self._adapter.capabilities.push_timeout
        call = asyncio.create_task(work, name="call adapter")
        self._under_way.add(call)
        try:
            await asyncio.wait([call], timeout=timeout.total_seconds())
            in_time = call.done()
        finally:
            call.cancel()
            self._under_way.discard(call)
        if not in_time:
            await asyncio.wait([call])
            return f"the CRM did not answer within {timeout}"
        return self._read(call, count)

    def _read(self, call: asyncio.Task[Answer], count: int) -> Answer | str:
        if call.cancelled():
            return "the server stopped while it waited for the CRM"
        if error := call.exception():
            if isinstance(error, CredentialsRefusedError):
                raise error
            self._log.error("the adapter failed", exc_info=error)
            return "the adapter failed; the server's log says how"
        answer = call.result()
        if len(answer) != count:
            self._log.error("the adapter lost outcomes", sent=count, got=len(answer))
            return "the adapter did not account for the batch"
        return answer
