"""How records of one organization at one CRM are taken in, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from crmsync_server.crm.mapping import FieldMapping
from crmsync_server.store.merging import Merging
from crmsync_server.store.states import Direction


@dataclass(frozen=True, slots=True)
class Terms:
    """How records are taken in.

    direction: with PULL what only the contact has stays undelivered; with BOTH it is named as
        something to be delivered.
    mapping: None means the contact's own fields; salt: the mapping's, b"" without one.
    session_id: the session that reads; its run is held by the caller. None for webhooks: nothing is
        noted or counted then.
    dry_run: whether to note what would be done, and to do nothing else.
    """

    org_id: str
    crm: str
    direction: Direction
    mapping: FieldMapping | None
    merging: Merging
    salt: bytes
    session_id: UUID | None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What became of records, as far as it is newly counted in the session.

    A count is negative where a record that was counted so before is counted otherwise now.

    to_push: contacts of which the CRM lacks something; none with PULL.
    conflict_ids: conflicts that were opened, have changed or were settled.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    conflicts: int = 0
    deleted: int = 0
    skipped: int = 0
    errors: int = 0
    to_push: Sequence[UUID] = field(default_factory=tuple)
    conflict_ids: Sequence[UUID] = field(default_factory=tuple)
