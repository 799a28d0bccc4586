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
    ) -> None:
        """Hint other processes through notifier, and this one by the two callbacks."""
        self._notifier = notifier
        self._on_work = on_work
        self._on_session = on_session

    def queued(self, org_id: str, crm: str) -> None:
        """Something waits in a lane."""
        hint = f"{org_id}/{crm}"
        self._on_work(hint)
        self._notifier.hint(WORK, hint)

    def moved(self, org_id: str, receipt: Receipt) -> None:
        """A batch moved the progress of sessions."""
        self.sessions(org_id, *receipt.session_ids)

    def sessions(self, org_id: str, *session_ids: UUID) -> None:
        """Sessions changed."""
        for session_id in session_ids:
            hint = f"{org_id}/{session_id}"
            self._on_session(hint)
            self._notifier.hint(SESSION, hint)
