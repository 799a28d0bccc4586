"""Lanes: the deliveries of one organization at one CRM, their pauses and their pace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a lane is closed until a probe.

    first, most: how long the first probe waits, and any at most; it doubles each time in a row.
    """

    code: str
    message: str
    first: timedelta
    most: timedelta


async def pause(
    connection: AsyncConnection, org_id: str, crm: str, *, until: datetime, code: str, message: str
) -> None:
    """Keep a lane from delivering until then, and remember why."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "until": until,
        "clock": datetime.now(UTC),
        "code": code,
        "message": message,
    }
    await connection.execute(statement("lane/pause"), parameters)


async def trip(
    connection: AsyncConnection, org_id: str, crm: str, fault: Fault, *, probed: bool = False
) -> int | None:
    """Close a lane until a probe; return how often in a row, None when it was closed already.

    probed: this is what a probe has just found.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "code": fault.code,
        "message": fault.message,
        "first": fault.first,
        "most": fault.most,
        "probed": probed,
    }
    trips: int | None = await connection.scalar(statement("lane/trip"), parameters)
    return trips


async def begin_probe(
    connection: AsyncConnection, org_id: str, crm: str, lease: timedelta
) -> datetime | None:
    """Take a lane's probe when one is due; return until when it is taken, None when none is due."""
    parameters = {"org_id": org_id, "crm": crm, "lease": lease}
    until: datetime | None = await connection.scalar(statement("lane/begin_probe"), parameters)
    return until


async def resume(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    *,
    codes: Sequence[str] | None = None,
    probed: datetime | None = None,
) -> bool:
    """Let a paused lane deliver again; return whether it was paused so.

    codes: only when it is paused with one of these; None for any.
    probed: a probe that was taken until then found that it may; a pause that lasts longer stays.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "codes": None if codes is None else list(codes),
        "probed": probed,
    }
    return await connection.scalar(statement("lane/resume"), parameters) is not None


async def steady(connection: AsyncConnection, org_id: str, crm: str) -> None:
    """Forget how often a lane was closed in a row: it delivers."""
    await connection.execute(statement("lane/steady"), {"org_id": org_id, "crm": crm})


async def measure(
    connection: AsyncConnection, org_id: str, crm: str, records_per_second: float
) -> None:
    """Remember how fast a lane goes."""
    parameters = {"org_id": org_id, "crm": crm, "records_per_second": records_per_second}
    await connection.execute(statement("lane/measure"), parameters)
