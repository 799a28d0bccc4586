"""The duty of the outbox: hands messages over, each at most once, as fast as a number may."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from crmsync_server.crm.messaging import (
    LONGEST_DETAIL,
    FaultKind,
    Messaging,
    Outgoing,
    Refused,
    Scope,
    SendOutcome,
    Sent,
    SlowDown,
    Template,
    Unanswered,
)
from crmsync_server.store import outbox as store
from crmsync_server.store import whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.lost import lost
from crmsync_server.store.outbox import Pace, Result
from crmsync_server.store.states import MessageStatus
from crmsync_server.sync.duty import Duty

UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"

_AT_ONCE = 8  # numbers
_TOGETHER = 16  # messages of one number that are handed over at the same time
_BURST = timedelta(seconds=0.2)
_LEAST_REST = 0.01
_LAST_WORDS = 5.0  # seconds for messages that are being handed over when the server stops
_LONGEST_BACK_OFF = 4  # steps of 4 ** n seconds for one recipient
_TOKEN_CODES = (0, 190)  # the token is wrong, or has expired
_EXPIRED_TOGETHER = 100

Line = tuple[str, str]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Postman:
    """What the outbox works with.

    messaging_of: the messages of an organization's account, None where it has none that can be
        used. on_messages: told of an organization after a commit that changed messages.
    per_second: how many messages may go from one number.
    """

    database: Database
    messaging_of: Callable[[str], Awaitable[Messaging | None]]
    clock: Callable[[], datetime]
    on_messages: Callable[[str], None]
    lease: timedelta
    per_second: float

    @property
    def pace(self) -> Pace:
        """How fast a number may send.

        Never more together than a second's worth: what is being handed over when a server is
        killed is UNKNOWN, and that is to be few however slow the number is.
        """
        size = max(1, min(_TOGETHER, int(self.per_second)))
        return Pace(size, timedelta(seconds=1 / self.per_second), _BURST)


class Outbox:
    """Sends what is in the outboxes of all organizations, on this replica.

    Whatever one number has to wait for, or one recipient, the others go on.
    """

    def __init__(self, postman: Postman, poll_interval: float = 5.0) -> None:
        """Prepare; poll_interval: seconds between two looks when nobody wakes it."""
        self._postman = postman
        self._poll_interval = poll_interval
        self._tasks: dict[Line, asyncio.Task[None]] = {}
        self._resting: dict[Line, float] = {}
        self._duty = Duty("outbox", self.turn)

    def start(self) -> None:
        """Begin with what is due now."""
        self._duty.start()

    def wake(self, _: str | None = None) -> None:
        """Look now: something was put in."""
        self._duty.wake()

    async def stop(self) -> None:
        """Hand nothing more over, and note what became of what was."""
        await self._duty.stop()
        if not (tasks := list(self._tasks.values())):
            return
        _, late = await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def turn(self) -> float:
        """Hand over what is due; return the seconds until the next look."""
        await self._give_up()
        async with self._postman.database.everyone() as connection:
            lines = await store.due(connection)
        now = asyncio.get_running_loop().time()
        rest = self._poll_interval
        for row in lines:
            line = (str(row.org_id), str(row.phone_number_id))
            if line in self._tasks or len(self._tasks) >= _AT_ONCE:
                continue  # the end of a task is when to look again
            wait = max(float(row.wait_seconds), self._resting.get(line, 0.0) - now)
            if wait > 0:
                rest = min(rest, max(wait, _LEAST_REST))
            else:
                self._take_up(line)
        return rest

    def _take_up(self, line: Line) -> None:
        self._resting.pop(line, None)
        task = asyncio.create_task(self._work_off(line), name="outbox")
        self._tasks[line] = task
        task.add_done_callback(lambda _: self._taken_up(line))

    def _taken_up(self, line: Line) -> None:
        del self._tasks[line]
        self._duty.wake()

    async def _work_off(self, line: Line) -> None:
        """Hand over what is due of one number."""
        try:
            messaging = await self._postman.messaging_of(line[0])
            if messaging is None or not await self._send_some(messaging, line):
                self._rest(line)
        except Exception as error:  # noqa: BLE001 - what was marked is given up in time
            if (cause := lost(error)) is not None:
                _log.warning("the outbox waits for the database", kind=type(cause).__name__)
            else:
                _log.exception("messages were not sent", org_id=line[0])
            self._rest(line)

    def _rest(self, line: Line) -> None:
        self._resting[line] = asyncio.get_running_loop().time() + self._poll_interval / 5

    async def _send_some(self, messaging: Messaging, line: Line) -> bool:
        postman = self._postman
        async with postman.database.org(line[0]) as connection:
            claimed = await store.claim(connection, *line, pace=postman.pace, lease=postman.lease)
        await asyncio.gather(*(self._send(messaging, line[0], row) for row in claimed))
        if claimed:
            postman.on_messages(line[0])
        return bool(claimed)

    async def _send(self, messaging: Messaging, org_id: str, row: sa.Row[Any]) -> None:
        try:
            outcome: SendOutcome = await messaging.send(_outgoing(row))
        except Exception as error:  # noqa: BLE001 - an adapter may be anybody's code
            # It may have been taken.
            _log.exception("a message was handed over, and the adapter failed", org_id=org_id)
            outcome = Unanswered(f"the adapter failed: {type(error).__name__}")
        await self._note(org_id, row, outcome)

    async def _note(self, org_id: str, row: sa.Row[Any], outcome: SendOutcome) -> None:
        async with self._postman.database.org(org_id) as connection:
            await whatsapp.lock(connection, org_id)
            if isinstance(outcome, SlowDown):
                until = self._later(outcome, row.tries)
                await store.put_off(connection, org_id, row, until=until, pause=outcome.scope)
                return
            if _is_token_refused(outcome):
                await whatsapp.refused(connection, org_id)
            await store.finish(connection, org_id, row.message_id, _result(outcome))

    def _later(self, told: SlowDown, tries: int) -> datetime:
        if told.scope is not Scope.RECIPIENT:
            return told.until
        # As Meta asks for: each refusal of the same message makes the pause four times as long.
        step = timedelta(seconds=4 ** min(tries - 1, _LONGEST_BACK_OFF))
        return max(told.until, self._postman.clock() + step)

    async def _give_up(self) -> None:
        """Say of messages whose sender is gone that nobody knows."""
        postman = self._postman
        async with postman.database.everyone() as connection:
            expired = await store.expired(connection, size=_EXPIRED_TOGETHER)
        for row in expired:
            async with postman.database.org(row.org_id) as connection:
                await whatsapp.lock(connection, row.org_id)
                if await store.late(connection, row.org_id, row.message_id):
                    error = _error(UNKNOWN_OUTCOME, "the server ended while it was handed over")
                    result = Result(MessageStatus.UNKNOWN, error=error)
                    await store.finish(connection, row.org_id, row.message_id, result)
            postman.on_messages(row.org_id)


def _outgoing(row: sa.Row[Any]) -> Outgoing:
    content = row.content
    template = content.get("template")
    return Outgoing(
        message_id=row.message_id,
        phone_number_id=row.phone_number_id,
        to=row.recipient,
        text=content.get("text", ""),
        template=Template(**template) if template else None,
    )


def _is_token_refused(outcome: SendOutcome) -> bool:
    return (
        isinstance(outcome, Refused)
        and outcome.kind is FaultKind.ACCOUNT
        and outcome.code in _TOKEN_CODES
    )


def _result(outcome: Sent | Refused | Unanswered) -> Result:
    match outcome:
        case Sent(whatsapp_id=whatsapp_id):
            return Result(MessageStatus.SENT, whatsapp_id)
        case Refused(kind=kind, code=code, message=message, trace_id=trace_id):
            return Result(MessageStatus.FAILED, error=_error(kind, message, code, trace_id))
        case Unanswered(message=message):
            return Result(MessageStatus.UNKNOWN, error=_error(UNKNOWN_OUTCOME, message))


def _error(kind: str, message: str, code: int = 0, trace_id: str = "") -> Mapping[str, object]:
    return {
        "code": code,
        "kind": str(kind),
        "message": message[:LONGEST_DETAIL],
        "trace_id": trace_id,
    }
