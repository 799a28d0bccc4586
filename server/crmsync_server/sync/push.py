"""Pushing a claimed batch: without a call where none is needed, and never blindly twice."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import structlog

from crmsync_server.crm.adapter import Adapter, Delivery
from crmsync_server.crm.outcomes import Outcome, Rejected, Skipped, SkipReason
from crmsync_server.store.claimed import Claimed
from crmsync_server.sync.calls import Calls, Times
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.quota import urgently
from crmsync_server.sync.sparing import Sparing

_log = structlog.get_logger()
_IN_CONFLICT = (
    "the contact's email is in conflict, and the CRM knows its records by their email: "
    "resolve the conflict first"
)

_read = json.JSONDecoder().raw_decode  # half of what loads costs, which looks for blanks around

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
    """What was claimed together, and how it is delivered: as it was configured then.

    sparing: what is left out, where the CRM is read as well; None where everything is told.
    removes: whether the records are removed, instead of the contacts being delivered.
    times: what its calls took, until that is written down.
    """

    rows: Sequence[Claimed]
    by: Deliverer
    sparing: Sparing | None = None
    removes: bool = False
    times: Times = field(default_factory=list)

    def parts(self) -> "Sequence[Batch]":
        """Return what is removed and what is delivered, apart: a removal may free an email."""
        if not any(row.removing for row in self.rows):
            return (self,)
        parts = (
            replace(self, rows=[row for row in self.rows if row.removing], removes=True),
            replace(self, rows=[row for row in self.rows if not row.removing]),
        )
        return [part for part in parts if part.rows]

    @property
    def urgent(self) -> bool:
        """Whether anything of it has priority HIGH."""
        return any(row.urgent for row in self.rows)

    def mapped(self, row: Claimed) -> Delivery:
        """Return what there is to tell of a row; raises ValueError when it cannot be mapped."""
        mapping = self.by.config.mapping
        plain = _delivery(row)
        return mapping.apply(plain) if mapping else plain

    def delivery(self, row: Claimed) -> Delivery:
        """Return what the adapter is given of a row; raises ValueError when it cannot be mapped."""
        mapped = self.mapped(row)
        return self.sparing.spared(mapped) if self.sparing else mapped

    def mapped_anyhow(self, row: Claimed) -> Delivery:
        """Return what there was to tell of a row; unmapped if that cannot be done any more."""
        try:
            return self.mapped(row)
        except Exception:  # noqa: BLE001 - what it was given is settled, however it is mapped now
            return _delivery(row)

    def given(self, row: Claimed) -> Delivery:
        """Return what the adapter was given of a row."""
        mapped = self.mapped_anyhow(row)
        return self.sparing.spared(mapped) if self.sparing else mapped


async def push(calls: Calls, batch: Batch) -> Judged:
    """Push what needs pushing; every row gets its outcome. Raises CredentialsRefusedError."""
    if batch.removes:
        return await _remove(calls, batch)
    judged: list[tuple[Claimed, Outcome]] = []
    left: list[tuple[Claimed, Delivery]] = []
    requires_email = batch.by.adapter.capabilities.requires_email
    is_plain = batch.by.config.mapping is None and batch.sparing is None
    prepare = _delivery if is_plain else partial(_prepared, batch)
    for row in batch.rows:
        prepared = _without_call(row, requires_email=requires_email) or prepare(row)
        if isinstance(prepared, Delivery):
            left.append((row, prepared))
        else:
            judged.append((row, prepared))
    with urgently() if batch.urgent else nullcontext():
        judged += await _call(calls, batch, left)
    return judged


async def _remove(calls: Calls, batch: Batch) -> Judged:
    adapter = batch.by.adapter
    if not adapter.capabilities.delete:
        refused = Rejected("NOT_SUPPORTED", "the CRM's adapter does not offer to remove records")
        return [(row, refused) for row in batch.rows]
    with urgently() if batch.urgent else nullcontext():
        deliveries = [_delivery(row) for row in batch.rows]
        outcomes = await calls.delete(adapter, deliveries, batch.times)
    return list(zip(batch.rows, outcomes, strict=True))


async def _call(calls: Calls, batch: Batch, left: Sequence[tuple[Claimed, Delivery]]) -> Judged:
    adapter = batch.by.adapter
    judged: list[tuple[Claimed, Outcome]] = []
    if adapter.capabilities.read_back and any(row.unsure for row, _ in left):
        found = await _read_back(calls, batch, [one for row, one in left if row.unsure])
        judged += [(row, found[row.contact_id]) for row, _ in left if row.contact_id in found]
        left = [(row, one) for row, one in left if row.contact_id not in found]
    if left:
        outcomes = await calls.push(adapter, [one for _, one in left], batch.times)
        judged += [(row, outcome) for (row, _), outcome in zip(left, outcomes, strict=True)]
    return judged


async def _read_back(calls: Calls, batch: Batch, unsure: Sequence[Delivery]) -> dict[UUID, Outcome]:
    """Return what the CRM holds already of what an earlier attempt may have brought there."""
    held = await calls.read_back(batch.by.adapter, unsure, batch.times)
    found = zip(unsure, held, strict=True)
    return {delivery.contact_id: one for delivery, one in found if one is not None}


def _prepared(batch: Batch, row: Claimed) -> Delivery | Outcome:
    try:
        delivery = batch.delivery(row)
    except ValueError as error:
        # The contact's own fault: nobody else's delivery must suffer from it.
        return Rejected("MAPPING_FAILED", str(error))
    except Exception:  # noqa: BLE001 - nor from a fault of ours that one contact brings to light
        _log.exception("a contact could not be mapped", contact_id=row.contact_id)
        return Rejected("MAPPING_FAILED", "the mapping failed; the server's log says how")
    if batch.sparing and batch.sparing.says_nothing(delivery):
        return Skipped(SkipReason.UNCHANGED)
    if batch.sparing and batch.sparing.must_wait(delivery):
        return Rejected("EMAIL_IN_CONFLICT", _IN_CONFLICT)
    return delivery


def _without_call(row: Claimed, *, requires_email: bool) -> Outcome | None:
    if row.deleted:
        return Skipped(SkipReason.CONTACT_DELETED)
    if row.email is None and requires_email:
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
        _read(own)[0] if own else {},
    )
