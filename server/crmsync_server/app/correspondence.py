"""What carries messages: webhooks worked off, the outbox, and the stream of their changes."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime

from crmsync_server.crm.messaging import Messaging, messaging_of
from crmsync_server.rpc.conversation_messages import MessageView, message
from crmsync_server.settings import Settings
from crmsync_server.store import message_log
from crmsync_server.store.db import Database
from crmsync_server.store.listen import Listener
from crmsync_server.store.notify import MESSAGE, Notifier
from crmsync_server.sync.clearing import Clearing
from crmsync_server.sync.events import EventHub
from crmsync_server.sync.messages import Messages
from crmsync_server.sync.outbox import Outbox, Postman

_CRM = "whatsapp"
_STREAM = "messages"


class Correspondence:
    """The messages of all organizations."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        adapter_of: Callable[[str, str], Awaitable[object]],
        notifier: Notifier,
        clock: Callable[[], datetime],
    ) -> None:
        """Build it; nothing runs before `open`."""
        self._adapter_of = adapter_of
        self._notifier = notifier
        self.hub: EventHub[MessageView] = EventHub(database, message, message_log)
        poll_interval = settings.engine_poll_interval.total_seconds()
        self.messages = Messages(database, self._changed, poll_interval)
        postman = Postman(
            database=database,
            messaging_of=self._messaging,
            clock=clock,
            on_messages=self._changed,
            lease=2 * settings.engine_lease,
            per_second=settings.whatsapp_messages_per_second,
        )
        self.outbox = Outbox(postman, poll_interval)
        self._clearing = Clearing(database)

    def listen(self, listener: Listener) -> None:
        """Hear what other processes change."""
        for heard in (self.messages.wake, self.outbox.wake, self.hub.on_hint):
            listener.subscribe(MESSAGE, heard)

    def open(self, stack: AsyncExitStack) -> None:
        """Start every duty; the stack stops them in reverse."""
        for duty in (self.messages, self.outbox, self._clearing):
            duty.start()
            stack.push_async_callback(duty.stop)
        self.hub.start()

    def on_told(self, org_id: str) -> None:
        """Tell every process that a webhook told of something."""
        hint = f"{org_id}/{_STREAM}"
        self.messages.wake(hint)
        self._notifier.hint(MESSAGE, hint)

    def on_queued(self, org_id: str) -> None:
        """Tell every process that a message was put into the outbox."""
        self.outbox.wake()
        self._changed(org_id)

    def _changed(self, org_id: str) -> None:
        hint = f"{org_id}/{_STREAM}"
        self.hub.on_hint(hint)
        self._notifier.hint(MESSAGE, hint)

    async def _messaging(self, org_id: str) -> Messaging | None:
        try:
            return messaging_of(await self._adapter_of(org_id, _CRM))
        except ValueError:  # what is wrong is said where the account is looked at
            return None
