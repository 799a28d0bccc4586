"""What the engine tells other processes after a commit: that work waits, that sessions moved."""

from collections.abc import Callable
from uuid import UUID

from crmsync_server.store.notify import SESSION, WORK, Notifier
from crmsync_server.store.queue import Receipt


class Hints:
    """Sends hints, and tells this process at once instead of by way of the database."""

    def __init__(
        self,
        notifier: Notifier,
        on_work: Callable[[str | None], None],
        on_session: Callable[[str | None], None],
        on_ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Hint other processes through notifier, and this one by the callbacks.

        on_ended: told of sessions that have ended, besides.
        """
        self._notifier = notifier
        self._on_work = on_work
        self._on_session = on_session
        self._on_ended = on_ended

    def queued(self, org_id: str, crm: str) -> None:
        """Something waits in a lane."""
        hint = f"{org_id}/{crm}"
        self._on_work(hint)
        self._notifier.hint(WORK, hint)

    def moved(self, org_id: str, receipt: Receipt) -> None:
        """A batch moved the progress of sessions."""
        self.sessions(org_id, *receipt.session_ids)
        for session_id in receipt.ended_ids:
            self._on_ended(f"{org_id}/{session_id}")

    def sessions(self, org_id: str, *session_ids: UUID) -> None:
        """Sessions changed."""
        for session_id in session_ids:
            hint = f"{org_id}/{session_id}"
            self._on_session(hint)
            self._notifier.hint(SESSION, hint)
