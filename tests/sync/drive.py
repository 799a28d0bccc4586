"""What the rules of the state machine share: each does a thing to Postgres and to the model."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, initialize

from crmsync_server.store import queue
from crmsync_server.store import ticket as ticket_store
from crmsync_server.store.response_times import Answered
from tests.store import people
from tests.sync.model import Key, Model
from tests.sync.world import Claim, Snapshot, World, finished, now

ORGS = ("acme", "globex")
CRMS = ("brevo", "hubspot")
_TABLES = (
    "session_items",
    "sessions",
    "sync_attempts",
    "sync_counts",
    "sync_hours",
    "error_hours",
    "contact_syncs",
    "tickets",
    "lanes",
    "contacts",
)


class Drive(RuleBasedStateMachine):
    """One world, the model of it, and what callers, workers and CRMs remember."""

    def __init__(self, world: World) -> None:
        """Drive the queue of this world."""
        super().__init__()
        self.world = world
        self.model = Model()
        self.contacts: dict[str, list[UUID]] = {org_id: [] for org_id in ORGS}
        self.content: dict[UUID, str] = {}
        self.deleted: set[UUID] = set()
        self.without_email: set[UUID] = set()
        self.claims: list[Claim] = []
        self.expired: set[Key] = set()
        self.tickets: dict[str, tuple[str, str, list[Claim]]] = {}
        self.held_by_crm: dict[Key, str] = {}
        self.synced_once: set[Key] = set()
        self.before = Snapshot()
        self.sound = True

    @initialize()
    def clear(self) -> None:
        """Begin with empty tables but for some contacts."""
        for table in _TABLES:
            self.world.statement(f"DELETE FROM {table}")  # noqa: S608 - from the list above
        for org_id, email in ((ORGS[0], True), (ORGS[0], False), (ORGS[1], True)):
            self._create(org_id, "a", email=email)

    def _create(self, org_id: str, content: str, *, email: bool) -> None:
        contact_id = self.world.transaction(
            lambda connection: people.create(connection, org_id, content, email=email)
        )
        self.contacts[org_id].append(contact_id)
        self.content[contact_id] = content
        if not email:
            self.without_email.add(contact_id)

    def _living(self, org_id: str) -> list[UUID]:
        return [one for one in self.contacts[org_id] if one not in self.deleted]

    def _live(self) -> list[Claim]:
        return [one for one in self.claims if self.model.owns(one.key, one.attempt)]

    def _overtaken(self) -> list[Claim]:
        under_way = {one.key: one.attempt for one in self._live()}
        return [one for one in self.claims if one.attempt < under_way.get(one.key, 0)]

    def _enqueue(
        self, org_id: str, selection: queue.Selection, order: queue.Order, expected: set[UUID]
    ) -> tuple[int, Sequence[UUID]]:
        answer = self.world.transaction(lambda c: queue.enqueue(c, org_id, selection, order))
        keys = [(org_id, one, order.crm) for one in sorted(expected)]  # a set has no order
        self.model.enqueue(order.session_id, org_id, keys, high=order.high, removing=order.removing)
        return answer

    def _finish(self, batch: Sequence[Claim], ending: str, *, soon: bool) -> int:
        if not batch:
            return 0
        org_id, crm = batch[0].lane
        ended = [finished(one, ending, soon=soon) for one in batch]
        told = len(batch) if ending not in {"skipped", "released", "refused"} else 0
        calls = [Answered(0.001 * (told + 1), told)]
        receipt = self.world.transaction(lambda c: queue.finish(c, org_id, crm, ended, calls))
        for one, end in zip(batch, ended, strict=True):
            if self.model.owns(one.key, one.attempt):
                self._remember(one, ending, applied=soon)
            refused = ending == "refused"
            self.model.finish(one.key, one.attempt, end.status, due=soon, refused=refused)
            self.expired = {key for key in self.expired if key != one.key or not receipt.finished}
        return receipt.finished

    def _remember(self, one: Claim, ending: str, *, applied: bool) -> None:
        arrived = ending == "synced" or (ending == "unknown" and applied)
        if arrived and one.row.removing:
            self.held_by_crm.pop(one.key, None)
        elif arrived:
            self.held_by_crm[one.key] = one.row.first_name
        if ending == "synced" and one.row.removing:
            self.synced_once.discard(one.key)
        elif ending == "synced":
            self.synced_once.add(one.key)

    def _expire(self, key: Key) -> None:
        self.world.statement(
            "UPDATE contact_syncs SET lease_until = now() - interval '1 second'"
            " WHERE (org_id, contact_id, crm) = (:org_id, :contact_id, :crm)",
            **dict(zip(("org_id", "contact_id", "crm"), key, strict=True)),
        )
        self.expired.add(key)

    def _hold(self, ticket: str) -> None:
        org_id, crm, batch = self.tickets[ticket]
        accepted = [(one.key[1], one.attempt) for one in batch]
        kept = ticket_store.Ticket(ticket, now(), timedelta(hours=6))
        self.world.transaction(lambda c: ticket_store.hold(c, org_id, crm, accepted, kept))
