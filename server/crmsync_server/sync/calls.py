"""Calling an adapter: whatever it does, every delivery has an outcome in the end.

A call runs in a task of its own, so that a server that stops can give up waiting for the CRM
without losing what it knows: the worker that waits is never cancelled itself.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from structlog.typing import FilteringBoundLogger

from crmsync_server.crm.adapter import (
    Adapter,
    CredentialsRefusedError,
    Deleter,
    Delivery,
    Standing,
)
from crmsync_server.crm.outcomes import Accepted, Outcome, Postponed, Synced, Unknown
from crmsync_server.store.response_times import Answered
from crmsync_server.sync.soundness import is_sound
from crmsync_server.sync.stopwatch import Stopwatch, running

Answer = Sequence[Outcome]
Write = Callable[[Sequence[Delivery]], Coroutine[Any, Any, Answer]]
Times = list[Answered]
"""What the calls of a batch took; each call that was made adds to it."""

_TO_OBEY = 5.0  # seconds that a cancelled call gets to end
_STOPPED = "the server stopped while it waited for the CRM"


class _Failed(str):
    """Why a call has no answer."""

    __slots__ = ()


class Calls:
    """The calls of one lane to its adapters."""

    def __init__(self, clock: Callable[[], datetime], log: FilteringBoundLogger) -> None:
        """Begin with no call under way."""
        self._clock = clock
        self._log = log
        self._under_way: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._given_up = False

    @property
    def under_way(self) -> int:
        """Return how many calls wait for the CRM."""
        return len(self._under_way)

    async def push(self, adapter: Adapter, batch: Sequence[Delivery], times: Times) -> Answer:
        """Push a batch; one outcome for each delivery. Raises CredentialsRefusedError."""
        return await self._written(adapter, adapter.push, batch, times)

    async def delete(self, adapter: Adapter, batch: Sequence[Delivery], times: Times) -> Answer:
        """Remove records; one outcome for each. Raises CredentialsRefusedError."""
        deleter = cast("Deleter", adapter)
        answer = await self._written(adapter, deleter.delete, batch, times)
        later = Unknown("the adapter took a removal in for later, which nobody asks about")
        return [later if isinstance(one, Accepted) else one for one in answer]

    async def _written(
        self, adapter: Adapter, write: Write, batch: Sequence[Delivery], times: Times
    ) -> Answer:
        if self._given_up:
            message = "the server stops, nothing was sent"
            return [Postponed(self._clock(), "RELEASED", message, lane=False)] * len(batch)
        answer = await self._outcomes(adapter, write(batch), len(batch), times)
        if isinstance(answer, _Failed):
            return [Unknown(answer, ours=answer == _STOPPED)] * len(batch)
        return answer

    async def settle(
        self, adapter: Adapter, ticket: str, batch: Sequence[Delivery], times: Times
    ) -> Answer | None:
        """Ask about a ticket; None when that could not be done, and is to be tried again."""
        if self._given_up:
            return None
        try:
            work = adapter.settle(ticket, batch)
            answer = await self._outcomes(adapter, work, len(batch), times)
        except CredentialsRefusedError as error:
            answer = _Failed(error)
        if isinstance(answer, _Failed):
            self._log.warning("ticket not settled", ticket=ticket, why=answer)
            return None
        return answer

    async def read_back(
        self, adapter: Adapter, batch: Sequence[Delivery], times: Times
    ) -> Sequence[Synced | None]:
        """Ask what the CRM holds already; None for what is to be delivered."""
        if self._given_up:
            return [None] * len(batch)
        watch = Stopwatch()
        found = await self._outcome(adapter, adapter.read_back(batch), watch)
        if not isinstance(found, Sequence) or len(found) != len(batch):
            self._log.warning("what the CRM holds could not be read", why=str(found)[:200])
            times.append(Answered(watch.seconds, 0))
            return [None] * len(batch)
        held = [one if isinstance(one, Synced) and is_sound(one) else None for one in found]
        times.append(Answered(watch.seconds, len(held) - held.count(None)))
        return held

    async def check(self, adapter: Adapter) -> Standing | None:
        """Ask whether the credentials are good; None when this server stops.

        A failure of the adapter counts as no answer of the CRM.
        """
        if self._given_up:
            return None
        try:
            found = await self._outcome(adapter, adapter.check(), Stopwatch())
        except CredentialsRefusedError as error:
            return Standing(valid=False, message=str(error))
        if isinstance(found, Standing):
            return found
        if found == _STOPPED:
            return None
        return Standing(valid=False, message=str(found)[:200], reachable=False)

    def give_up(self) -> None:
        """Wait for no answer any longer, and send nothing more."""
        self._given_up = True
        for call in self._under_way:
            call.cancel()

    async def _outcomes(
        self, adapter: Adapter, work: Coroutine[Any, Any, Answer], count: int, times: Times
    ) -> Answer | _Failed:
        watch, later = Stopwatch(), count
        try:
            answer = self._read_all(await self._outcome(adapter, work, watch), count)
            later = 0 if isinstance(answer, _Failed) else list(map(type, answer)).count(Accepted)
        finally:
            times.append(Answered(watch.seconds, count - later))
        return answer

    def _read_all(self, answer: object, count: int) -> Answer | _Failed:
        if isinstance(answer, _Failed):
            return answer
        if not isinstance(answer, Sequence) or len(answer) != count:
            self._log.error("the adapter lost outcomes", sent=count, got=repr(answer)[:200])
            return _Failed("the adapter did not account for the batch")
        return [outcome if is_sound(outcome) else self._unreadable(outcome) for outcome in answer]

    async def _outcome(
        self, adapter: Adapter, work: Coroutine[Any, Any, Any], watch: Stopwatch
    ) -> object:
        """Return what the adapter answered, or a _Failed that says why it did not."""
        timeout = adapter.capabilities.push_timeout
        token = running.set(watch)
        call = asyncio.create_task(work, name="call adapter")
        running.reset(token)
        self._under_way.add(call)
        try:
            await asyncio.wait([call], timeout=timeout.total_seconds())
            in_time = call.done()
        finally:
            call.cancel()
            self._under_way.discard(call)
        if call.done():
            return self._read(call) if in_time else _late(timeout)
        await asyncio.wait([call], timeout=_TO_OBEY)
        if not call.done():
            self._log.error("the adapter does not stop")
            self._abandoned.add(call)
            call.add_done_callback(self._abandoned.discard)
        return _late(timeout)

    def _read(self, call: asyncio.Task[Any]) -> object:
        if call.cancelled():
            return _Failed(_STOPPED if self._given_up else "the call was cancelled")
        if error := call.exception():
            if isinstance(error, CredentialsRefusedError):
                raise error
            self._log.error("the adapter failed", exc_info=error)
            return _Failed("the adapter failed; the server's log says how")
        answer: object = call.result()  # an adapter may be anybody's code
        return answer

    def _unreadable(self, outcome: object) -> Outcome:
        self._log.error("the adapter answered what is no outcome", outcome=repr(outcome)[:200])
        return Unknown("the adapter's outcome cannot be read; the server's log has it")


def _late(timeout: timedelta) -> _Failed:
    return _Failed(f"the CRM did not answer within {timeout}")
