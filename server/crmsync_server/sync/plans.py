"""Plans of dry runs: what is kept of one, whether it still holds, and doing exactly what it says.

A plan is verified record by record against the CRM, and what is read then is kept. It is applied
in one transaction, which is undone if anything here has changed since the plan was made, or if it
would do anything else than the plan says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import Any, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.source import Record
from crmsync_server.store import plan, queue, session, staged
from crmsync_server.store import run as runs
from crmsync_server.store.run import Step
from crmsync_server.store.states import Direction, Phase, RecordAction
from crmsync_server.sync.absorb import fingerprint, sweep
from crmsync_server.sync.brake import brake
from crmsync_server.sync.run import FailedError, OverError, Run, TroubledError, begin

_NAMED = 5  # of what has drifted, in the session's error; its items name all
_APPLIED_TOGETHER = 500


async def keep(run: Run, connection: AsyncConnection) -> None:
    """Keep what a dry run's plan costs, and under which configuration it holds."""
    key = (run.org_id, run.row.session_id)
    counted = await plan.counts(connection, *key)
    pushes = sum(
        row.times
        for row in counted
        if row.direction == Direction.PUSH and row.action != RecordAction.UNCHANGED
    )
    calls = ceil(pushes / run.reader.batch_size)
    daily = run.reader.daily_calls
    facts = {
        # Kept, since whoever looks at the session would have to count all of its records.
        "counts": {f"{row.direction} {row.action}": row.times for row in counted},
        "calls": calls,
        "daily_share": calls / daily if daily else 0.0,
        "terms": _spelled_terms(run),
        "direction": run.direction,
    }
    await plan.keep(connection, *key, facts)


async def verify(run: Run) -> None:
    """Read again what a plan would do something with, page by page, and note what differs."""
    plan_id, terms = UUID(run.task["plan"]), run.task["terms"]
    if terms != _spelled_terms(run):
        _refuse("the configuration of the CRM has changed since")
    after = str(run.cursor.get("after", ""))
    while run.phase is Phase.VERIFY:
        async with run.desk.database.org(run.org_id) as connection:
            rows = await plan.records(
                connection, run.org_id, plan_id, after=after, size=_page_size(run)
            )
        if not rows:
            await _end_verifying(run)
            return
        found = await run.source.fetch([row.key for row in rows], run.reader.names)
        if not isinstance(found, Mapping):
            raise TroubledError(found)
        after = rows[-1].key
        step = Step(Phase.VERIFY, {"after": after})
        await run.step(step, partial(_stage, run, rows, found))


def _page_size(run: Run) -> int:
    # A plan that only delivers reads nothing.
    return run.reader.source.traits.fetch_batch if run.reader.source else 1


async def _stage(
    run: Run,
    rows: Sequence[sa.Row[Any]],
    found: Mapping[str, Record | None],
    connection: AsyncConnection,
) -> None:
    drifted, kept = [], {}
    for row in rows:
        record = found.get(row.key)
        is_gone = record is None or record.deleted
        if row.action == "DELETED":
            holds = is_gone
        else:
            holds = record is not None and not is_gone and fingerprint(record) == row.fingerprint
        if holds:
            kept[row.key] = {} if record is None else _document(record)
        else:
            drifted.append(row.key)
    await staged.keep(connection, run.org_id, run.row.session_id, kept)
    await staged.drifted(connection, run.org_id, run.row.session_id, drifted)


async def _end_verifying(run: Run) -> None:
    session_id = run.row.session_id
    async with run.desk.database.org(run.org_id) as connection:
        drifted = await staged.all_drifted(connection, run.org_id, session_id, size=_NAMED + 1)
    if drifted:
        _refuse(f"at {run.crm} these records have changed: {_names(drifted)}")
    await run.step(begin(Phase.APPLY))


async def apply(run: Run) -> None:
    """Do what the plan says, all of it or nothing."""
    plan_id = UUID(run.task["plan"])
    async with run.desk.database.org(run.org_id) as connection:
        if not await runs.end(connection, run.hold):
            raise OverError
        await _refuse_moved(run, connection, plan_id)
        await brake(run, connection, await plan.deletions(connection, run.org_id, plan_id))
        await _take_in_staged(run, connection)
        await _refuse_differing(run, connection, plan_id)
        queued = await _queue_planned(run, connection, plan_id)
        await session.filled(connection, run.org_id, run.row.session_id)
    run.desk.hints.sessions(run.org_id, run.row.session_id)
    if queued:
        run.desk.hints.queued(run.org_id, run.crm)
    raise OverError


async def _refuse_moved(run: Run, connection: AsyncConnection, plan_id: UUID) -> None:
    await staged.lock(connection, run.org_id, plan_id)
    moved = await plan.moved(connection, run.org_id, plan_id, size=_NAMED + 1)
    if moved:
        names = _names([str(row.contact_id) for row in moved])
        _refuse(f"these contacts have changed since: {names}")


async def _take_in_staged(run: Run, connection: AsyncConnection) -> None:
    after = ""
    while rows := await staged.page(
        connection, run.org_id, run.row.session_id, after=after, size=_APPLIED_TOGETHER
    ):
        after = rows[-1].key
        alive = [_record(row.fields) for row in rows if row.fields and not row.fields["deleted"]]
        gone = [row.key for row in rows if not row.fields or row.fields["deleted"]]
        await run.take_in(connection, alive)
        await sweep(connection, run.terms, gone)


async def _refuse_differing(run: Run, connection: AsyncConnection, plan_id: UUID) -> None:
    differing = await plan.differing(
        connection, run.org_id, plan_id, run.row.session_id, size=_NAMED + 1
    )
    if differing:
        names = _names([row.key for row in differing])
        _refuse(f"of these records something else would become now: {names}")


async def _queue_planned(run: Run, connection: AsyncConnection, plan_id: UUID) -> bool:
    if run.direction is Direction.PULL:
        return False
    contact_ids = await plan.pushed(connection, run.org_id, plan_id)
    order = queue.Order(run.crm, run.row.session_id, run.kind, run.row.creator)
    selection = queue.Selection(contact_ids, run.reader.requires_email)
    count, _ = await queue.enqueue(connection, run.org_id, selection, order)
    return count > 0


def _refuse(message: str) -> NoReturn:
    raise FailedError(message, "PLAN_DRIFTED")


def _names(keys: Sequence[str]) -> str:
    more = ", …" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more


def _spelled_terms(run: Run) -> str:
    """Return a digest of how records are taken in: another one makes another plan."""
    said = repr((run.reader.config.merging, run.terms.salt.hex(), run.direction)).encode()
    return blake2b(said, digest_size=16).hexdigest()


def _document(record: Record) -> dict[str, Any]:
    time = record.modified_time
    told = asdict(record)
    told["modified_time"] = None if time is None else time.isoformat()
    return told


def _record(document: Mapping[str, Any]) -> Record:
    time = document["modified_time"]
    told = {**document, "modified_time": datetime.fromisoformat(time) if time else None}
    return Record(**told)
