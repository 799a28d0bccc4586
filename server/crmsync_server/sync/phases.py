"""What a run does in each of its phases."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.source import Record
from crmsync_server.store import config, manual, plan, queue, session, sweep, watermark
from crmsync_server.store import run as runs
from crmsync_server.store.run import Step
from crmsync_server.store.states import Direction, Phase, SessionKind
from crmsync_server.sync import plans
from crmsync_server.sync.absorb import as_found
from crmsync_server.sync.absorb import sweep as sweep_away
from crmsync_server.sync.brake import brake
from crmsync_server.sync.reading import Batch, reading
from crmsync_server.sync.run import OverError, Run, TroubledError, begin

# The CRM's clock and ours may differ by as much without a change being missed.
_SKEW = timedelta(minutes=2)
_DELETED_TOGETHER = 500
_EXPORTING = ("EXPORT_PENDING", "the CRM writes an export of all records, which is read then")


async def go(run: Run) -> None:
    """Do what is to be done, phase after phase; raises OverError when that is all, for now."""
    while True:
        await _PHASES[run.phase](run)


async def _prepare(run: Run) -> None:
    """Find out what to read, and link what was delivered before anything was read."""
    first, since = _first_phase(run), None
    async with run.desk.database.org(run.org_id) as connection:
        now = await connection.scalar(sa.text("SELECT now()"))
        if first is Phase.READ and run.kind is SessionKind.INCREMENTAL_SYNC:
            since = await _since(connection, run)

    async def write(connection: AsyncConnection) -> None:
        if first is Phase.QUEUE:
            return
        if await config.go_two_ways(connection, run.org_id, run.crm) or since is None:
            await config.links(connection, run.org_id, run.crm)

    step = replace(begin(first), since=since, until_time=now)
    await run.step(step, write)


def _first_phase(run: Run) -> Phase:
    if "plan" in run.task:
        return Phase.VERIFY
    if run.direction is Direction.PUSH:
        return Phase.QUEUE
    return Phase.FETCH if run.kind is SessionKind.MANUAL_SYNC else Phase.READ


async def _since(connection: AsyncConnection, run: Run) -> datetime | None:
    if asked := run.task.get("since"):
        return datetime.fromisoformat(asked)
    read_until = await watermark.get(connection, run.org_id, run.crm)
    return None if read_until is None else read_until - run.source.traits.overlap - _SKEW


async def _read(run: Run) -> None:
    """Store page after page, the next ones being read meanwhile."""
    async with reading(run.source, run.scope, run.cursor) as pages:
        while run.phase is Phase.READ:
            batch = await pages.next()
            if not isinstance(batch, Batch):
                raise TroubledError(batch)
            await run.step(_after(batch), partial(run.take_in, records=batch.records))
            if batch.last.ready_time is not None:
                rest = batch.last.ready_time - run.desk.clock()
                await run.rest(rest, *_EXPORTING)


def _after(batch: Batch) -> Step:
    expected = batch.last.total
    if batch.cursor is None:
        return Step(Phase.SWEEP, {}, pages=batch.pages, expected=expected)
    return Step(Phase.READ, batch.cursor, pages=batch.pages, expected=expected)


async def _fetch(run: Run) -> None:
    """Read single records by their ids, and note those that there are not."""
    wanted = await _wanted(run)
    size = run.source.traits.fetch_batch
    # By the last id and not by how many they were: what is linked may change in between.
    after = str(run.cursor.get("after", ""))
    left = [one for one in wanted if one > after]
    for start in range(0, len(left), size):
        ids = left[start : start + size]
        found = await run.source.fetch(ids, run.reader.names)
        if not isinstance(found, Mapping):
            raise TroubledError(found)
        step = Step(Phase.FETCH, {"after": ids[-1]}, expected=len(wanted))
        await run.step(step, partial(_take_in_found, run, found))
    await run.step(begin(Phase.SWEEP))


async def _wanted(run: Run) -> Sequence[str]:
    """Return the ids at the CRM of what was asked for, in an order that stays."""
    contact_ids = [UUID(one) for one in run.task.get("contact_ids", ())]
    async with run.desk.database.org(run.org_id) as connection:
        linked = await manual.linked(connection, run.org_id, run.crm, contact_ids)
    return sorted({*run.task.get("crm_contact_ids", ()), *linked})


async def _take_in_found(
    run: Run, found: Mapping[str, Record | None], connection: AsyncConnection
) -> None:
    await run.take_in(connection, as_found(found))
    missing = [key for key, one in found.items() if one is None]
    if missing:
        owners = await manual.owners(connection, run.org_id, run.crm, missing)
        gone = {key: owners.get(key) for key in missing}
        await manual.missing(connection, run.org_id, run.row.session_id, gone)


async def _sweep(run: Run) -> None:
    """Deal with what is gone at the CRM, unless that is suspiciously much."""
    told = run.source.traits.tells_deletions
    if not run.cursor and run.kind is SessionKind.FULL_SYNC and not told:
        await run.step(begin(Phase.SWEEP, {"gathered": True}), partial(_gather, run))
    await _brake(run)
    size = _DELETED_TOGETHER if told else run.source.traits.fetch_batch
    while run.phase is Phase.SWEEP:
        after = str(run.cursor.get("swept", ""))
        async with run.desk.database.org(run.org_id) as connection:
            keys = await sweep.pending(
                connection, run.org_id, run.row.session_id, after=after, size=size
            )
        if not keys:
            await run.step(begin(Phase.QUEUE))
            return
        alive = {} if told else await _still_there(run, keys)
        step = begin(Phase.SWEEP, {"gathered": True, "swept": keys[-1]})
        await run.step(step, partial(_sweep_away, run, keys, alive))


async def _gather(run: Run, connection: AsyncConnection) -> None:
    await sweep.gather(connection, run.org_id, run.row.session_id)


async def _brake(run: Run) -> None:
    """Stop before anything is deleted; what was begun is gone on with."""
    if run.row.dry_run or run.cursor.get("swept"):
        return
    async with run.desk.database.org(run.org_id) as connection:
        gone = await sweep.gone(connection, run.org_id, run.crm, run.row.session_id)
        await brake(run, connection, gone)


async def _still_there(run: Run, keys: Sequence[str]) -> Mapping[str, Record]:
    """Return those records that a reading did not bring, and that exist all the same."""
    found = await run.source.fetch(keys, run.reader.names)
    if not isinstance(found, Mapping):
        raise TroubledError(found)
    return {key: one for key, one in found.items() if one is not None and not one.deleted}


async def _sweep_away(
    run: Run, keys: Sequence[str], alive: Mapping[str, Record], connection: AsyncConnection
) -> None:
    await run.take_in(connection, as_found(alive))
    # One that came as the record that took its place is gone as well: its contact has gone over to
    # that, if it had none, and is not linked to this one any more.
    there = {one.crm_contact_id for one in alive.values()}
    await sweep_away(connection, run.terms, [key for key in keys if key not in there])


async def _queue(run: Run) -> None:
    """Queue what is to be delivered, say that nothing more will come, and remove the run."""
    queued = False
    async with run.desk.database.org(run.org_id) as connection:
        if not await runs.end(connection, run.hold):
            raise OverError
        if run.direction is not Direction.PULL:
            queued = await _queue_up(run, connection)
        if run.row.dry_run:
            await plans.keep(run, connection)
        await session.filled(connection, run.org_id, run.row.session_id)
        if run.until_time is not None and _moves_watermark(run):
            await watermark.move(
                connection,
                run.org_id,
                run.crm,
                time=run.until_time,
                session_id=run.row.session_id,
            )
    run.desk.hints.sessions(run.org_id, run.row.session_id)
    if queued:
        run.desk.hints.queued(run.org_id, run.crm)
    raise OverError


def _moves_watermark(run: Run) -> bool:
    whole = run.kind in {SessionKind.FULL_SYNC, SessionKind.INCREMENTAL_SYNC}
    # One that was told from when to read may have left out what was before.
    asked = run.task.get("since") is not None
    return whole and not asked and not run.row.dry_run and run.direction is not Direction.PUSH


async def _queue_up(run: Run, connection: AsyncConnection) -> bool:
    session_id = run.row.session_id
    selection = await _selection(run, connection)
    force = bool(run.task.get("force"))
    if run.row.dry_run:
        await plan.push(connection, run.org_id, session_id, run.crm, selection, force=force)
        return False
    order = queue.Order(run.crm, session_id, run.kind, run.row.creator, force=force)
    count, _ = await queue.enqueue(connection, run.org_id, selection, order)
    return count > 0


async def _selection(run: Run, connection: AsyncConnection) -> queue.Selection:
    requires_email, salt = run.reader.requires_email, run.terms.salt
    if run.kind is SessionKind.MANUAL_SYNC:
        asked = [UUID(one) for one in run.task.get("contact_ids", ())]
        touched = await manual.touched(connection, run.org_id, run.row.session_id)
        return queue.Selection(sorted({*asked, *touched}), requires_email)
    everything = run.direction is Direction.PUSH and run.kind is SessionKind.FULL_SYNC
    return queue.Selection(requires_email=requires_email, changed_only=not everything, salt=salt)


_PHASES: Mapping[Phase, Callable[[Run], Awaitable[None]]] = {
    Phase.PREPARE: _prepare,
    Phase.READ: _read,
    Phase.FETCH: _fetch,
    Phase.SWEEP: _sweep,
    Phase.QUEUE: _queue,
    Phase.VERIFY: plans.verify,
    Phase.APPLY: plans.apply,
}
