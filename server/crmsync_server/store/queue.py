"""The queue: who waits for which CRM, who is being delivered, and what became of it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.claimed import Claimed, Expired
from crmsync_server.store.narrowed import narrowed
from crmsync_server.store.response_times import Answered, histogram
from crmsync_server.store.statements import fetch, statement
from crmsync_server.store.states import AttemptOutcome, SessionKind, SyncStatus

_SLOTS = 16

# finish.sql's parameters, in the order of the fields of Finished.
_ALWAYS = ("attempts", "statuses", "outcomes", "retry_counts")
_SOMETIMES = (
    *("due_times", "crm_contact_ids", "error_codes", "error_messages", "request_ids"),
    *("skip_reasons", "removals"),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which contacts to queue: those of these ids, or all that pass the filter.

    contact_ids: None means by filter.
    requires_email: leave out contacts without an email.
    condition: on the contacts, as `c`, where they are not given by their ids; None means any.
    changed_only: leave out those whose content the CRM holds, and those whose record was removed
        there and that have not changed since, unless they are given by ids.
    salt: what the CRM gets besides a contact's content; see `Terms`.
    """

    contact_ids: Sequence[UUID] | None = None
    requires_email: bool = False
    has_email: bool | None = None
    not_already_synced: bool = False
    domain_id: UUID | None = None
    condition: sa.ColumnElement[bool] | None = None
    changed_only: bool = False
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class Order:
    """How to queue: for which CRM, how soon, whether even unchanged, and for whom.

    removing: the contacts' records are to be removed at the CRM, instead of being delivered.
    """

    crm: str
    session_id: UUID
    kind: SessionKind
    creator: str
    high: bool = False
    force: bool = False
    removing: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How to claim: how many at most, for how long without a sign of life, and in whose name.

    salt: what the CRM gets besides the contact's content (its field mapping): where that changes,
        what was delivered is no longer what would be.
    urgent_only: nothing of priority NORMAL.
    """

    size: int
    lease: timedelta
    owner: str
    salt: bytes = b""
    urgent_only: bool = False


class Finished(NamedTuple):
    """How one attempt ends, in the order of the columns of finish.sql.

    status: where the contact's standing goes: COMPLETE, SKIPPED, ERROR, or QUEUED again; SELECTED
        where its record was removed.
    due_time: when it is due again; needed with QUEUED.
    removal: True where the record was to be removed; None where the contact was to be delivered.
    """

    contact_id: UUID
    attempt: int
    status: SyncStatus
    outcome: AttemptOutcome
    retry_count: int = 0
    due_time: datetime | None = None
    crm_contact_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None
    skip_reason: str | None = None
    removal: bool | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What finishing a batch moved.

    finished: attempts recorded; fewer than given when leases had been lost.
    requeued: how many of them went back to the queue.
    session_ids: sessions whose progress moved; ended_ids those of them that ended.
    """

    finished: int
    requeued: int
    session_ids: Sequence[UUID]
    ended_ids: Sequence[UUID]


async def enqueue(
    connection: AsyncConnection, org_id: str, selection: Selection, order: Order
) -> tuple[int, Sequence[UUID]]:
    """Queue contacts and open their session; return how many, and by id also which."""
    row = (
        await connection.execute(
            narrowed("queue/enqueue", selection.condition),
            {
                "org_id": org_id,
                "crm": order.crm,
                "session_id": order.session_id,
                "kind": order.kind,
                "creator": order.creator,
                "priority": 2 if order.high else 1,
                "force": order.force,
                "removing": order.removing,
                "slot": slot(),
                "by_id": selection.contact_ids is not None,
                "contact_ids": list(selection.contact_ids or ()),
                "requires_email": selection.requires_email,
                "has_email": selection.has_email,
                "not_already_synced": selection.not_already_synced,
                "domain_id": selection.domain_id,
                "changed_only": selection.changed_only,
                "salt": selection.salt,
            },
        )
    ).one()
    return row.queued_count, row.queued_ids or ()


async def refusals(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> dict[UUID, bool]:
    """Return which of these contacts exist, each with whether it has an email."""
    rows = await connection.execute(
        statement("queue/refusals"), {"org_id": org_id, "contact_ids": list(contact_ids)}
    )
    return {row.id: row.has_email for row in rows}


async def claim(
    connection: AsyncConnection, org_id: str, crm: str, terms: Terms
) -> Sequence[Claimed]:
    """Claim deliveries of a lane under a lease; empty when none is due."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "size": terms.size,
        "lease": terms.lease,
        "owner": terms.owner,
        "salt": terms.salt,
        "urgent_only": terms.urgent_only,
    }
    return [Claimed._make(row) for row in await fetch(connection, "queue/claim", parameters)]


async def finish(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    batch: Sequence[Finished],
    calls: Sequence[Answered] = (),
) -> Receipt:
    """Record what attempts ended in; those that lost their lease meanwhile change nothing.

    calls: those to the CRM that the attempts ended with.

    In a transaction that goes by_index: whoever queues or cancels the same contacts meanwhile would
    else wait for this one while it waits for them. Always: a plan that was made in another kind of
    transaction is kept by the connection, and used in this kind as well.
    """
    batch = sorted(batch, key=_place)
    if any(one.status == SyncStatus.QUEUED for one in batch):
        await lock(connection, org_id, crm, [one.contact_id for one in batch])
    contact_ids, *columns = zip(*batch, strict=True)
    always, sometimes = columns[: len(_ALWAYS)], columns[len(_ALWAYS) :]
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "slot": slot(),
        "clock": datetime.now(UTC),
        "contact_ids": contact_ids,
        "size": len(batch),
        **_of_calls(calls),
        **dict(zip(_ALWAYS, map(_once_if_alike, always), strict=True)),
        **dict(zip(_SOMETIMES, map(_unless_empty, sometimes), strict=True)),
    }
    row = (await connection.execute(statement("queue/finish"), parameters)).one()
    return Receipt(row.finished, row.requeued, row.session_ids or (), row.ended_ids or ())


async def lock(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID]
) -> None:
    """Lock standings for what follows in this transaction."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    await connection.execute(statement("queue/lock"), parameters)


async def renew(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    under_way: Sequence[tuple[UUID, int]],
    lease: timedelta,
) -> None:
    """Prolong the leases of deliveries (contact id, attempt) that are still under way."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "contact_ids": [contact_id for contact_id, _ in under_way],
        "attempts": [attempt for _, attempt in under_way],
        "lease": lease,
    }
    await connection.execute(statement("queue/renew"), parameters)


async def expired_lanes(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return the lanes (org_id, crm), of any organization, in which a lease is over."""
    return (await connection.execute(statement("queue/expired_lanes"))).all()


async def lock_expired(
    connection: AsyncConnection, org_id: str, crm: str, *, size: int
) -> Sequence[Expired]:
    """Lock a lane's deliveries whose lease is over, until they are finished."""
    parameters = {"org_id": org_id, "crm": crm, "size": size}
    rows = await connection.execute(statement("queue/lock_expired"), parameters)
    return [Expired._make(row) for row in rows]


async def due_lanes(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return every lane with something queued: org_id, crm, wait_seconds until it may deliver.

    probing: it waits for a probe, and wait_seconds is the time until that; urgent: something of
    priority HIGH is due.
    """
    return (await connection.execute(statement("queue/due_lanes"))).all()


def _of_calls(calls: Sequence[Answered]) -> Mapping[str, object]:
    """Return finish.sql's parameters of calls."""
    return {
        "calls": len(calls) or None,
        "call_records": sum(one.records for one in calls) if calls else None,
        "call_seconds": sum(one.seconds for one in calls) if calls else None,
        "call_steps": histogram(calls) if calls else None,
    }


def _place(one: Finished) -> bytes:
    """Return where a standing comes in the order in which all statements lock them."""
    return one.contact_id.bytes


def _once_if_alike(column: Sequence[object]) -> Sequence[object]:
    """Return a column for unnest, or only its first value when all are alike; see finish.sql."""
    return column[:1] if column.count(column[0]) == len(column) else column


def _unless_empty(column: Sequence[object]) -> Sequence[object] | None:
    """Return a column for unnest, None when every value is: most are, and encoding them costs."""
    return None if column.count(None) == len(column) else column


def slot() -> int:
    """Choose the row of a count to write: several, so that writers seldom wait for each other."""
    return random.randrange(_SLOTS)  # noqa: S311 - spreads load, guards nothing
