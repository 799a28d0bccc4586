"""Calling an adapter: whatever it does, every delivery has an outcome in the end.

A call runs in a task of its own, so that a server that stops can give up waiting for the CRM
without losing what it knows: the worker that waits is never cancelled itself.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from structlog.typing import FilteringBoundLogger

from crmsync_server.crm.adapter import Adapter, CredentialsRefusedError, Delivery
from crmsync_server.crm.outcomes import Outcome, Postponed, Synced, Unknown

Answer = Sequence[Outcome]

_TO_OBEY = 5.0  # seconds that a cancelled call gets to end
_TEXTS = ("crm_contact_id", "code", "message", "request_id", "ticket")


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
        self._abandoned: set[asyncio.Task[Answer]] = set()
        self._given_up = False

    @property
    def under_way(self) -> int:
        """Return how many calls wait for the CRM."""
        return len(self._under_way)

    async def push(self, batch: Sequence[Delivery]) -> Answer:
        """Push a batch; one outcome for each delivery. Raises CredentialsRefusedError."""
        if self._given_up:
            message = "the server stops, nothing was sent"
            return [Postponed(self._clock(), "RELEASED", message, lane=False)] * len(batch)
        answer = await self._answer(self._adapter.push(batch), len(batch))
        return [Unknown(answer)] * len(batch) if isinstance(answer, str) else answer

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Answer | None:
        """Ask about a ticket; None when that could not be done, and is to be tried again."""
        if self._given_up:
            return None
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
        if call.done():
            return self._read(call, count) if in_time else _late(timeout)
        await asyncio.wait([call], timeout=_TO_OBEY)
        if not call.done():
            self._log.error("the adapter does not stop")
            self._abandoned.add(call)
            call.add_done_callback(self._abandoned.discard)
        return _late(timeout)

    def _read(self, call: asyncio.Task[Answer], count: int) -> Answer | str:
        if call.cancelled():
            return "the server stopped while it waited for the CRM"
        if error := call.exception():
            if isinstance(error, CredentialsRefusedError):
                raise error
            self._log.error("the adapter failed", exc_info=error)
            return "the adapter failed; the server's log says how"
        answer: object = call.result()  # an adapter may be anybody's code
        if not isinstance(answer, Sequence) or len(answer) != count:
            self._log.error("the adapter lost outcomes", sent=count, got=repr(answer)[:200])
            return "the adapter did not account for the batch"
        return [outcome if _is_sound(outcome) else self._unreadable(outcome) for outcome in answer]

    def _unreadable(self, outcome: object) -> Outcome:
        self._log.error("the adapter answered what is no outcome", outcome=repr(outcome)[:200])
        return Unknown("the adapter's outcome cannot be read; the server's log has it")


def _late(timeout: timedelta) -> str:
    return f"the CRM did not answer within {timeout}"


def _is_sound(outcome: object) -> bool:
    """Tell whether this is an outcome whose parts are of their types, so that it can be kept."""
    if type(outcome) is Synced:  # nearly all are; what follows costs ten times as much
        return type(outcome.crm_contact_id) is str and type(outcome.request_id) is str
    if not isinstance(outcome, Outcome):
        return False
    parts = [getattr(outcome, field.name) for field in fields(outcome)]
    texts = all(isinstance(getattr(outcome, name, ""), str) for name in _TEXTS)
    return texts and all(part.tzinfo is not None for part in parts if isinstance(part, datetime))
