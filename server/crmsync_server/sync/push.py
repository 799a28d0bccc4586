"""Pushing a claimed batch: without a call where none is needed, and never blindly twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from crmsync_server.crm.adapter import Adapter, Delivery
from crmsync_server.crm.outcomes import Outcome, Skipped, SkipReason
from crmsync_server.store.claimed import Claimed
from crmsync_server.sync.calls import Calls
from crmsync_server.sync.lane_config import LaneConfig

Judged = Sequence[tuple[Claimed, Outcome]]


@dataclass(frozen=True, slots=True)
class Deliverer:
    """How a lane delivers: through which adapter, and as its organization has configured it."""

    adapter: Adapter
    config: LaneConfig = field(default_factory=LaneConfig)

    @property
    def batch_size(self) -> int:
        """Return how many records a push takes at most."""
        able = self.adapter.capabilities.max_batch
        return min(able, self.config.batch_size or able)

    @property
    def concurrency(self) -> int:
        """Return how many pushes may be under way at once."""
        able = self.adapter.capabilities.concurrency
        return min(able, self.config.concurrency or able)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was claimed together, and how it is delivered: as it was configured then."""

    rows: Sequence[Claimed]
    by: Deliverer

    @property
    def urgent(self) -> bool:
        """Whether anything of it has priority HIGH."""
        return any(row.urgent for row in self.rows)

    def deliveries(self, rows: Sequence[Claimed]) -> list[Delivery]:
        """Return what the adapter is given of these rows."""
        mapping = self.by.config.mapping
        plain = [_delivery(row) for row in rows]
        return [mapping.apply(one) for one in plain] if mapping else plain


async def push(calls: Calls, batch: Batch) -> Judged:
    """Push what needs pushing; every row gets its outcome. Raises CredentialsRefusedError."""
    known = [(row, _without_call(row, batch.by.adapter)) for row in batch.rows]
    judged: list[tuple[Claimed, Outcome]] = [(row, out) for row, out in known if out is not None]
    left = [row for row, outcome in known if outcome is None]
    if left and batch.by.adapter.capabilities.read_back and any(row.unsure for row in left):
        found = await _read_back(calls, batch, left)
        judged += [(row, found[row.contact_id]) for row in left if row.contact_id in found]
        left = [row for row in left if row.contact_id not in found]
    if left:
        outcomes = await calls.push(batch.by.adapter, batch.deliveries(left))
        judged += zip(left, outcomes, strict=True)
    return judged


async def _read_back(calls: Calls, batch: Batch, rows: Sequence[Claimed]) -> dict[UUID, Outcome]:
    """Return what the CRM holds already of what an earlier attempt may have brought there."""
    unsure = [row for row in rows if row.unsure]
    held = await calls.read_back(batch.by.adapter, batch.deliveries(unsure))
    found = zip(unsure, held, strict=True)
    return {row.contact_id: one for row, one in found if one is not None}


def _without_call(row: Claimed, adapter: Adapter) -> Outcome | None:
    if row.deleted:
        return Skipped(SkipReason.CONTACT_DELETED)
    if row.email is None and adapter.capabilities.requires_email:
        return Skipped(SkipReason.NO_EMAIL)
    return Skipped(SkipReason.UNCHANGED) if row.unchanged else None


def _delivery(row: Claimed) -> Delivery:
    # By position: this runs for every record, and names cost twice as much.
    contact_id, attempt, crm_contact_id, email, first, last, phone, company, tags, own = row[:10]
    return Delivery(
        contact_id,
        attempt,
        crm_contact_id,
        email or "",
        first,
        last,
        phone,
        company,
        tags,
        own or {},
    )
