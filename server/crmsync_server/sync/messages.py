"""The duty of messages: works off what webhooks told, and closes conversations that have ended."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from crmsync_server.crm.messaging_changes import change_of
from crmsync_server.store import conversation, message, whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.lost import lost
from crmsync_server.sync.absorb_messages import absorb
from crmsync_server.sync.duty import Duty

_AT_ONCE = 4  # organizations
_TOGETHER = 200  # changes that are worked off by one transaction; more would hold up the loop
_MANY = 100  # changes; of fewer no plan matters
_TOGETHER_ENDED = 1000  # conversations that are closed by one transaction
# Seconds between two batches of one organization: what comes meanwhile is worked off together. One
# by one each costs ten times as much, and makes its conversation anew.
_REST = 0.1
_POLL_INTERVAL = 5.0  # seconds until what another process kept is seen, if no hint of it came
_ENDING_INTERVAL = 30.0
_TRIES = 3  # of one change by itself, before it is set aside

_log = structlog.get_logger()


class Messages:
    """Works off what was told to all organizations, on this replica.

    One batch of an organization is one transaction, with its account locked: another replica waits.
    A batch that fails is taken apart, and what fails by itself again and again is set aside and
    told in the log, so that it holds up nothing else.
    """

    def __init__(
        self,
        database: Database,
        on_messages: Callable[[str], None],
        poll_interval: float = _POLL_INTERVAL,
    ) -> None:
        """Prepare; on_messages: told of an organization after a commit that changed messages."""
        self._database = database
        self._on_messages = on_messages
        self._poll_interval = poll_interval
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resting: set[str] = set()
        self._failed: dict[str, int] = {}
        self._is_young = True
        self._duty = Duty("messages", self.turn)
        self._ending = Duty("conversations", self.end)

    def start(self) -> None:
        """Begin with what waits now."""
        self._duty.start()
        self._ending.start()

    def wake(self, hint: str | None = None) -> None:
        """Look now: something was told; hint: `org_id/...`, None for whatever organization."""
        org_id = hint.rpartition("/")[0] if hint else ""
        # Whoever is busy or rests is looked at in any case when that is over.
        if org_id not in self._tasks and org_id not in self._resting:
            self._duty.wake()

    async def stop(self) -> None:
        """Take up nothing more; what is under way is undone, and waits."""
        await self._duty.stop()
        await self._ending.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def turn(self) -> float:
        """Take up what waits; return the seconds until the next look."""
        async with self._database.everyone() as connection:
            waiting = await whatsapp.waiting(connection)
        for org_id in waiting:
            busy = org_id in self._tasks or org_id in self._resting
            if not busy and len(self._tasks) < _AT_ONCE:
                task = asyncio.create_task(self._work_off(org_id), name="messages")
                self._tasks[org_id] = task
                task.add_done_callback(partial(self._worked_off, org_id))
        return self._poll_interval

    async def end(self) -> float:
        """Close conversations that nothing was said in for a day; return when to look again."""
        async with self._database.everyone() as connection:
            due = await conversation.due(connection)
        for org_id in due:
            ended = _TOGETHER_ENDED
            while ended == _TOGETHER_ENDED:
                async with self._database.org(org_id) as connection:
                    await whatsapp.lock(connection, org_id)
                    ended = await conversation.end_due(connection, org_id, size=_TOGETHER_ENDED)
        return _ENDING_INTERVAL

    def _worked_off(self, org_id: str, _: object) -> None:
        del self._tasks[org_id]
        self._resting.add(org_id)
        asyncio.get_running_loop().call_later(_REST, self._rested, org_id)
        # There may be room for another.
        self._duty.wake()

    def _rested(self, org_id: str) -> None:
        self._resting.discard(org_id)
        self._duty.wake()

    async def _work_off(self, org_id: str) -> None:
        """Work off what waits for one organization, until hardly anything does."""
        size = 1 if org_id in self._failed else _TOGETHER
        try:
            while taken := await self._some(org_id, size):
                self._failed.pop(org_id, None)
                self._on_messages(org_id)
                if taken < size:
                    return
                size = _TOGETHER
        except Exception as error:  # noqa: BLE001 - it waits, and is tried again
            if (cause := lost(error)) is not None:
                _log.warning("messages wait for the database", kind=type(cause).__name__)
                return
            _log.warning("messages were not taken in", org_id=org_id, exc_info=error)
            self._failed[org_id] = self._failed.get(org_id, 0) + 1
            if self._failed[org_id] > _TRIES:
                await self._set_aside(org_id)

    async def _some(self, org_id: str, size: int) -> int:
        async with self._database.org(org_id) as connection:
            await whatsapp.lock(connection, org_id)
            told = await whatsapp.take(connection, org_id, size=size)
            if told:
                await absorb(connection, org_id, [change_of(one) for one in told])
        if self._is_young and len(told) >= _MANY:
            await self._grow_up()
        return len(told)

    async def _grow_up(self) -> None:
        """Let young tables be looked at: plans that were made for empty ones take seconds."""
        async with self._database.everyone() as connection:
            self._is_young = await message.is_young(connection)
            if self._is_young:
                await message.analyze(connection)

    async def _set_aside(self, org_id: str) -> None:
        async with self._database.org(org_id) as connection:
            await whatsapp.take(connection, org_id, size=1)
        _log.error("what a webhook told is set aside; it stays in whatsapp_inbox", org_id=org_id)
        del self._failed[org_id]
