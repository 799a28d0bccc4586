"""Statistics by the hour, kept up by whoever delivers or reads: no call scans the history.

How long the hours are kept, and what becomes of those that are over, is in store.hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


@dataclass(frozen=True, slots=True)
class Span:
    """Which hours to read: those of some CRMs that begin in [start, end)."""

    org_id: str
    crms: Sequence[str]
    start: datetime
    end: datetime

    @property
    def parameters(self) -> dict[str, object]:
        """Return the parameters that all statements share."""
        return {
            "org_id": self.org_id,
            "crms": list(self.crms),
            "start_time": self.start,
            "end_time": self.end,
        }


async def totals(connection: AsyncConnection, span: Span) -> Sequence[sa.Row[Any]]:
    """Return what hours have brought, a row for each CRM of which there is anything.

    crm, synced, skipped, errors, again, unanswered, calls, call_records, call_seconds,
    session_records, notice_records, conflicts_opened, conflicts_resolved, conflicts_settled.
    """
    return await _all(connection, "totals", span.parameters)


async def series(connection: AsyncConnection, span: Span, period: str) -> Sequence[sa.Row[Any]]:
    """Return the same with `time` instead of crm, for each period that has anything.

    period: hour, day or week, from Monday on; all UTC.
    """
    return await _all(connection, "series", {**span.parameters, "period": period})


async def steps(connection: AsyncConnection, span: Span) -> Mapping[str, Sequence[int]]:
    """Return the histograms of response times (store.response_times), by CRM."""
    return {row.crm: row.steps for row in await _all(connection, "steps", span.parameters)}


async def errors(connection: AsyncConnection, span: Span) -> Sequence[sa.Row[Any]]:
    """Return crm, code, attempts and errors, the most frequent first."""
    return await _all(connection, "errors", span.parameters)


async def busiest(connection: AsyncConnection, span: Span) -> Mapping[str | None, sa.Row[Any]]:
    """Return the hour in which most was confirmed, by CRM; None stands for all together."""
    return {row.crm: row for row in await _all(connection, "busiest", span.parameters)}


async def standings(
    connection: AsyncConnection, org_id: str, crms: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """Return how CRMs stand now, in their order; see the statement for the columns."""
    return await _all(connection, "standings", {"org_id": org_id, "crms": list(crms)})


async def note_read(connection: AsyncConnection, org_id: str, crm: str, records: int) -> None:
    """Count records that were read because webhooks told of them, in the caller's transaction."""
    parameters = {"org_id": org_id, "crm": crm, "records": records}
    await connection.execute(statement("statistics/note_read"), parameters)


async def _all(
    connection: AsyncConnection, name: str, parameters: Mapping[str, object]
) -> Sequence[sa.Row[Any]]:
    return (await connection.execute(statement(f"statistics/{name}"), dict(parameters))).all()
