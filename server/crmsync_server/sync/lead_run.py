"""The run of a session that asks a CRM about recent leads: by their ids, then by when they came in.

Ids go many to a call. Only where the CRM does not know some of them is everything read that came in
lately, for leads that it knows by their email. Each lead is counted once in a session.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.leads import LeadPage, LeadRecord, Leads
from crmsync_server.store import lead, session, session_record
from crmsync_server.store import run as runs
from crmsync_server.store.lead import Place, Told, Window
from crmsync_server.store.run import Step
from crmsync_server.store.session_record import SessionRecord
from crmsync_server.store.states import Phase, RecordAction
from crmsync_server.sync.lead_matching import Matched, by_id, by_owner, told_of
from crmsync_server.sync.run import FailedError, OverError, Run, TroubledError, begin

NOT_AT_CRM = "NOT_AT_CRM"
_DEFAULT_DAYS = 7
# Leads whose ids are read at once; several calls ask about them.
_AT_ONCE = 1000


async def go(run: Run) -> None:
    """Do what is to be done, phase after phase; raises OverError when that is all, for now."""
    while True:
        phase = _PHASES.get(run.phase)
        if phase is None:
            message = f"a session about leads has no phase {run.phase}"
            raise FailedError(message, "INTERNAL")
        await phase(run)


def window_of(run: Run) -> Window:
    """Return which leads a session is about; it stays the same for as long as it runs."""
    until: datetime = run.row.session_create_time
    days = timedelta(days=int(run.task.get("days", _DEFAULT_DAYS)))
    return Window(run.crm, until - days, until)


def _leads(run: Run) -> Leads:
    if run.reader.leads is None:
        message = f"{run.crm} keeps no leads"
        raise FailedError(message, "NOT_SUPPORTED")
    return run.reader.leads


async def _prepare(run: Run) -> None:
    """Count what will come, and begin."""
    _leads(run)
    window = window_of(run)
    async with run.desk.database.org(run.org_id) as connection:
        expected = await lead.count_recent(connection, run.org_id, window)
    first = Step(Phase.FETCH, {}, pages=0, expected=expected, since=window.since)
    await run.step(first)


async def _fetch(run: Run) -> None:
    """Ask for leads by their ids, many to a call."""
    leads, window = _leads(run), window_of(run)
    async with run.desk.database.org(run.org_id) as connection:
        places = await lead.recent(
            connection, run.org_id, window, _after(run.cursor, window), size=_AT_ONCE
        )
    if not places:
        await run.step(begin(Phase.READ if await _has_unseen(run, window) else Phase.SWEEP))
        return
    ends = {place.id: place for place in places}
    for portion in leads.portions([place.id for place in places]):
        records = await leads.by_ids(portion)
        if not isinstance(records, Sequence):
            raise TroubledError(records)
        step = Step(Phase.FETCH, _cursor(ends[portion[-1]]))
        await run.step(step, partial(_take_in, run, by_id(records, portion)))


async def _has_unseen(run: Run, window: Window) -> bool:
    async with run.desk.database.org(run.org_id) as connection:
        found = await lead.unseen(
            connection,
            run.org_id,
            window,
            _after({}, window),
            session_id=run.row.session_id,
            size=1,
        )
    return bool(found)


async def _read(run: Run) -> None:
    """Read what came in lately, to the last page, for leads that are known by their email."""
    # Days are the broker's: west of us a lead may have come on the day before.
    since = window_of(run).since.astimezone(UTC).date() - timedelta(days=1)
    page = await _leads(run).recent(since, run.cursor)
    if not isinstance(page, LeadPage):
        raise TroubledError(page)
    step = begin(Phase.SWEEP) if page.cursor is None else Step(Phase.READ, page.cursor)
    await run.step(step, partial(_take_in_owned, run, page.records))


async def _take_in_owned(
    run: Run, records: Sequence[LeadRecord], connection: AsyncConnection
) -> None:
    owners = await lead.owners(
        connection,
        run.org_id,
        run.crm,
        [one.transaction_id for one in records if one.transaction_id],
        [key for one in records if (key := one.email.strip().lower())],
        run.row.session_id,
    )
    since = window_of(run).since
    young = {row.id for row in owners if row.create_time >= since}
    matched = [one for one in by_owner(records, owners) if one[0] in young]
    await _take_in(run, matched, connection)


async def _take_in(run: Run, matched: Iterable[Matched], connection: AsyncConnection) -> None:
    """Take over what was told of leads, and count each in the session."""
    told: Sequence[Told] = [told_of(lead_id, record) for lead_id, record in matched]
    if not told:
        return
    org_id, session_id = run.org_id, run.row.session_id
    rows = await lead.apply(connection, org_id, run.crm, told, session_id)
    actions = {
        row.id: RecordAction.UPDATED if row.updated else RecordAction.UNCHANGED for row in rows
    }
    noted = [SessionRecord(lead_id, action) for lead_id, action in actions.items()]
    await session_record.note(connection, org_id, session_id, noted)
    conversions = sum(row.ftd_exists for row in rows)
    new = sum(row.converted for row in rows)
    if conversions or new:
        await lead.count_conversions(
            connection, org_id, session_id, conversions=conversions, new=new
        )


async def _sweep(run: Run) -> None:
    """Note the leads that the CRM does not have, and end."""
    window = window_of(run)
    async with run.desk.database.org(run.org_id) as connection:
        missing = await lead.unseen(
            connection,
            run.org_id,
            window,
            _after(run.cursor, window),
            session_id=run.row.session_id,
            size=_AT_ONCE,
        )
    if not missing:
        await _end(run)
    step = Step(Phase.SWEEP, _cursor(missing[-1]), pages=0)
    await run.step(step, partial(_note_missing, run, missing))


async def _note_missing(run: Run, missing: Sequence[Place], connection: AsyncConnection) -> None:
    told = f"{run.crm} knows neither its id nor its email"
    noted = [
        SessionRecord(place.id, RecordAction.SKIPPED, error_code=NOT_AT_CRM, error_message=told)
        for place in missing
    ]
    await session_record.note(connection, run.org_id, run.row.session_id, noted)


async def _end(run: Run) -> None:
    """Say that nothing more will come; raises OverError."""
    async with run.desk.database.org(run.org_id) as connection:
        if not await runs.end(connection, run.hold):
            raise OverError
        await lead.touch(connection, run.org_id, run.crm)
        await session.filled(connection, run.org_id, run.row.session_id)
    run.desk.hints.sessions(run.org_id, run.row.session_id)
    raise OverError


def _after(cursor: Mapping[str, Any], window: Window) -> Place:
    if "time" not in cursor:
        return Place(window.since)
    return Place(datetime.fromisoformat(cursor["time"]), cursor["id"])


def _cursor(place: Place) -> Mapping[str, Any]:
    return {"time": place.time.isoformat(), "id": place.id}


_PHASES: Mapping[Phase, Callable[[Run], Awaitable[None]]] = {
    Phase.PREPARE: _prepare,
    Phase.FETCH: _fetch,
    Phase.READ: _read,
    Phase.SWEEP: _sweep,
}
