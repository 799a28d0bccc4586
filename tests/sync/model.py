"""The queue as it is meant, in plain Python: what the state machine holds Postgres against.

It knows nothing of flags such as queued_again: what happens to a standing follows from who still
waits for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from crmsync_server.store.states import ItemOutcome, SessionState, SyncStatus

Key = tuple[str, UUID, str]  # organization, contact, CRM

_ITEM_OUTCOME = {
    SyncStatus.COMPLETE: ItemOutcome.SYNCED,
    SyncStatus.SELECTED: ItemOutcome.SYNCED,
    SyncStatus.SKIPPED: ItemOutcome.SKIPPED,
    SyncStatus.ERROR: ItemOutcome.ERROR,
}


@dataclass
class Item:
    """What a session waits for: the outcome of an attempt not before min_attempt.

    removing: whether it asked for the record's removal.
    """

    min_attempt: int
    removing: bool = False
    outcome: ItemOutcome | None = None


@dataclass
class Session:
    """A session and its items."""

    org_id: str
    cancelled: bool = False
    items: dict[Key, Item] = field(default_factory=dict)

    @property
    def state(self) -> SessionState:
        """Return where it stands; it follows from its items."""
        if any(item.outcome is None for item in self.items.values()):
            return SessionState.CANCELLING if self.cancelled else SessionState.RUNNING
        return SessionState.CANCELLED if self.cancelled else SessionState.SUCCEEDED


@dataclass
class Standing:
    """How a contact stands at a CRM.

    due: whether it may be claimed now; its wait is over, or it has none.
    edited: whether the contact changed after the claim.
    told: whether a cancel left nobody who wants the delivery under way to be tried again.
    refused: whether the last attempt ended because the CRM refused the credentials.
    removing: whether what was asked last is a removal. removes: whether the attempt is one.
    linked: whether a record is known.
    """

    status: SyncStatus
    attempt: int = 0
    high: bool = False
    due: bool = True
    edited: bool = False
    told: bool = False
    refused: bool = False
    removing: bool = False
    removes: bool = False
    linked: bool = False

    @property
    def failed(self) -> bool:
        """Return whether it is a failure, to be retried."""
        kept = self.status == SyncStatus.QUEUED and self.refused
        return kept or self.status == SyncStatus.ERROR


class Model:
    """Every standing and every session."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.standings: dict[Key, Standing] = {}
        self.sessions: dict[UUID, Session] = {}

    def enqueue(
        self,
        session_id: UUID,
        org_id: str,
        keys: Iterable[Key],
        *,
        high: bool,
        removing: bool = False,
    ) -> None:
        """Queue standings for a new session."""
        session = self.sessions[session_id] = Session(org_id)
        for key in keys:
            standing = self.standings.setdefault(key, Standing(SyncStatus.SELECTED))
            is_open = standing.status in {SyncStatus.QUEUED, SyncStatus.PROCESSING}
            standing.high = high or (is_open and standing.high)
            standing.due, standing.told, standing.refused = True, False, False
            standing.removing = removing
            if standing.status != SyncStatus.PROCESSING:
                standing.status = SyncStatus.QUEUED
            session.items[key] = Item(standing.attempt + 1, removing)

    def retry(self, session_id: UUID, org_id: str, keys: Iterable[Key], *, due: bool) -> None:
        """Queue failures again for a new session."""
        session = self.sessions[session_id] = Session(org_id)
        for key in keys:
            standing = self.standings[key]
            standing.status, standing.due, standing.refused = SyncStatus.QUEUED, due, False
            session.items[key] = Item(standing.attempt + 1, standing.removing)

    def failures(self, org_id: str, crm: str) -> list[Key]:
        """Return what can be retried in one lane."""
        return [
            key
            for key, one in self.standings.items()
            if (key[0], key[2]) == (org_id, crm) and one.failed
        ]

    def edit(self, org_id: str, contact_id: UUID) -> None:
        """Change a contact."""
        for key, standing in self.standings.items():
            if key[:2] == (org_id, contact_id):
                standing.edited = standing.status == SyncStatus.PROCESSING

    def queued(self) -> list[Key]:
        """Return what waits, due or not."""
        return [key for key, one in self.standings.items() if one.status == SyncStatus.QUEUED]

    def claimable(self, org_id: str, crm: str) -> dict[Key, Standing]:
        """Return what a claim may take."""
        return {
            key: standing
            for key, standing in self.standings.items()
            if (key[0], key[2]) == (org_id, crm)
            and standing.status == SyncStatus.QUEUED
            and standing.due
        }

    def claim(self, key: Key) -> int:
        """Take one, and return the attempt's number."""
        standing = self.standings[key]
        standing.status, standing.edited, standing.told = SyncStatus.PROCESSING, False, False
        standing.removes = standing.removing
        standing.attempt += 1
        return standing.attempt

    def owns(self, key: Key, attempt: int) -> bool:
        """Return whether an attempt is still the standing's own."""
        standing = self.standings[key]
        return (standing.status, standing.attempt) == (SyncStatus.PROCESSING, attempt)

    def finish(
        self, key: Key, attempt: int, status: SyncStatus, *, due: bool, refused: bool = False
    ) -> None:
        """End an attempt; one that lost its standing changes nothing."""
        if not self.owns(key, attempt):
            return
        standing = self.standings[key]
        standing.refused = refused
        if status == SyncStatus.QUEUED:
            self._give_back(key, standing, due=due)
        else:
            self._settle(key, standing, status)
        standing.high = standing.high and standing.status == SyncStatus.QUEUED

    def cancel(self, session_id: UUID) -> None:
        """Cancel a session; one that has ended stays as it is."""
        session = self.sessions[session_id]
        if session.state not in {SessionState.RUNNING, SessionState.CANCELLING}:
            return
        session.cancelled = True
        for key, item in session.items.items():
            if item.outcome is None:
                self._cancel_item(key, item)

    def cancel_contact(self, key: Key) -> bool:
        """Take a standing out of the queue for everybody; return whether it was in it."""
        standing = self.standings.get(key)
        if standing is None or standing.status not in {SyncStatus.QUEUED, SyncStatus.PROCESSING}:
            return False
        for _, item in self._waiting(key):
            self._end_unless_under_way(standing, item)
        self._take_out(standing)
        if standing.status == SyncStatus.PROCESSING:
            standing.removing = standing.removes
        return True

    def _cancel_item(self, key: Key, item: Item) -> None:
        standing = self.standings[key]
        self._end_unless_under_way(standing, item)
        wanting = [other for session, other in self._waiting(key) if not session.cancelled]
        under_way = standing.status == SyncStatus.PROCESSING
        if wanting:
            # Sessions are in the order in which they were opened.
            standing.removing = max(reversed(wanting), key=_attempt_of).removing
        else:
            standing.removing = under_way and standing.removes
            self._take_out(standing)

    def _end_unless_under_way(self, standing: Standing, item: Item) -> None:
        under_way = standing.status == SyncStatus.PROCESSING
        if not (under_way and item.min_attempt <= standing.attempt):
            item.outcome = ItemOutcome.CANCELLED

    def _take_out(self, standing: Standing) -> None:
        if standing.status == SyncStatus.PROCESSING:
            standing.told = True
        else:
            standing.status, standing.high = SyncStatus.SELECTED, False
            standing.removing = False

    def _give_back(self, key: Key, standing: Standing, *, due: bool) -> None:
        for session, item in self._waiting(key):
            if session.cancelled or standing.told:
                item.outcome = ItemOutcome.CANCELLED
        standing.status = SyncStatus.SELECTED if standing.told else SyncStatus.QUEUED
        standing.removing = standing.removing and not standing.told
        standing.due = due

    def _settle(self, key: Key, standing: Standing, status: SyncStatus) -> None:
        for _, item in self._waiting(key):
            if item.min_attempt > standing.attempt:
                continue
            overtaken = item.removing != standing.removes
            item.outcome = ItemOutcome.CANCELLED if overtaken else _ITEM_OUTCOME[status]
        edited = standing.edited and not standing.removes
        again = self._wanted(key) or (edited and not standing.told)
        standing.status = SyncStatus.QUEUED if again else status
        if not again:
            standing.removing = status == SyncStatus.ERROR and standing.removes
        if status in {SyncStatus.COMPLETE, SyncStatus.SELECTED}:
            standing.linked = status == SyncStatus.COMPLETE
        standing.due = True

    def _waiting(self, key: Key) -> list[tuple[Session, Item]]:
        return [
            (session, session.items[key])
            for session in self.sessions.values()
            if key in session.items and session.items[key].outcome is None
        ]

    def _wanted(self, key: Key) -> bool:
        return any(not session.cancelled for session, _ in self._waiting(key))


def _attempt_of(item: Item) -> int:
    return item.min_attempt
