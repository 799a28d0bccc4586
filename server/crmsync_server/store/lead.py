"""Leads: signups that are handed to a broker's CRM, what became of them, and how many there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import LeadNotFoundError
from crmsync_server.store.statements import statement
from crmsync_server.store.states import LeadRegistration


@dataclass(frozen=True, slots=True)
class Signup:
    """What a caller says of a lead; texts may be empty, but for id, crm and email."""

    id: str
    crm: str
    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    country: str = ""
    language: str = ""
    ip_address: str = ""
    campaign_id: str = ""
    tag: str = ""


class Told(NamedTuple):
    """What a CRM told of one lead, in the order of apply.sql's parameters.

    modify_time: by the CRM's clock; None where it does not tell.
    """

    id: str
    crm_lead_id: str
    status_code: int
    status_text: str
    ftd: bool
    tp_account: str
    currency: str
    create_time: datetime | None
    modify_time: datetime | None


_COLUMNS = (
    *("ids", "crm_lead_ids", "status_codes", "status_texts", "ftds", "tp_accounts", "currencies"),
    *("create_times", "modify_times"),
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which leads to list; None means any. session_id: those that this session synced."""

    crm: str | None = None
    status_codes: Sequence[int] | None = None
    ftd_exists: bool | None = None
    email_key: str | None = None
    registration: str | None = None
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Leads of one CRM that were made from a time on, and not after another."""

    crm: str
    since: datetime
    until: datetime

    def parameters(self) -> Mapping[str, object]:
        """Return them as statements take them."""
        return asdict(self)


class Place(NamedTuple):
    """A place in the order of leads: by when they were made, then by their ids."""

    time: datetime
    id: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a registration ended. code, message: why, unless the CRM has the lead."""

    registration: LeadRegistration
    crm_lead_id: str | None = None
    code: str | None = None
    message: str | None = None


async def keep(connection: AsyncConnection, org_id: str, signup: Signup) -> sa.Row[Any]:
    """Keep what a caller says of a lead, and return it locked.

    With `held`: somebody is registering it; `elsewhere`: it belongs to another CRM and stays.
    """
    parameters = {"org_id": org_id, **asdict(signup)}
    return (await connection.execute(statement("lead/keep"), parameters)).one()


async def begin_registration(
    connection: AsyncConnection, org_id: str, lead_id: str, *, lease: timedelta
) -> sa.Row[Any]:
    """Take a locked lead for registering it, and return it; its attempt names this taking."""
    parameters = {"org_id": org_id, "id": lead_id, "lease": lease}
    return (await connection.execute(statement("lead/begin_registration"), parameters)).one()


async def end_registration(
    connection: AsyncConnection, org_id: str, lead_id: str, attempt: int, ending: Ending
) -> sa.Row[Any]:
    """Write down how a registration ended, unless somebody else goes on with it; return the lead.

    Raises LeadNotFoundError.
    """
    parameters = {"org_id": org_id, "id": lead_id, "attempt": attempt, **asdict(ending)}
    ended = await connection.execute(statement("lead/end_registration"), parameters)
    return ended.one_or_none() or await get(connection, org_id, lead_id)


async def get(connection: AsyncConnection, org_id: str, lead_id: str) -> sa.Row[Any]:
    """Return a lead; raises LeadNotFoundError."""
    parameters = {"org_id": org_id, "id": lead_id}
    row = (await connection.execute(statement("lead/get"), parameters)).one_or_none()
    if row is None:
        raise LeadNotFoundError(lead_id)
    return row


async def list(  # noqa: A001 - named like its statement and its rpc; nobody imports it bare
    connection: AsyncConnection,
    org_id: str,
    chosen: Filter,
    *,
    size: int,
    before: Place | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of leads, newest first, older than a place."""
    parameters = {
        "org_id": org_id,
        **asdict(chosen),
        "before_time": before.time if before else None,
        "before_id": before.id if before else "",
        "size": size,
    }
    return (await connection.execute(statement("lead/list"), parameters)).all()


async def history(
    connection: AsyncConnection, org_id: str, lead_id: str, *, size: int, before: int | None = None
) -> Sequence[sa.Row[Any]]:
    """Return a page of a lead's changes, newest first, before the one of a sequence number."""
    parameters = {"org_id": org_id, "id": lead_id, "size": size, "before": before}
    return (await connection.execute(statement("lead/history"), parameters)).all()


async def counts(connection: AsyncConnection, org_id: str, crm: str) -> Mapping[int, int]:
    """Return how many leads of a CRM stand at each status code; it costs a row for each code."""
    rows = await connection.execute(statement("lead/counts"), {"org_id": org_id, "crm": crm})
    return {int(row.status_code): int(row.leads) for row in rows}


async def totals(connection: AsyncConnection, org_id: str, crm: str) -> sa.Row[Any] | None:
    """Return how many leads of a CRM there are and have converted; None before the first."""
    parameters = {"org_id": org_id, "crm": crm}
    return (await connection.execute(statement("lead/totals"), parameters)).one_or_none()


async def recent(
    connection: AsyncConnection, org_id: str, window: Window, after: Place, *, size: int
) -> Sequence[Place]:
    """Return the next leads of a window, oldest first, after a place."""
    parameters = {
        "org_id": org_id,
        **window.parameters(),
        "after_time": after.time,
        "after_id": after.id,
        "size": size,
    }
    rows = await connection.execute(statement("lead/recent"), parameters)
    return [Place(row.create_time, row.id) for row in rows]


async def count_recent(connection: AsyncConnection, org_id: str, window: Window) -> int:
    """Count the leads of a window."""
    parameters = {"org_id": org_id, **window.parameters()}
    return int(await connection.scalar(statement("lead/count_recent"), parameters) or 0)


async def unseen(
    connection: AsyncConnection,
    org_id: str,
    window: Window,
    after: Place,
    *,
    session_id: UUID,
    size: int,
) -> Sequence[Place]:
    """Return the next leads of a window, after a place, that a session has not noted yet."""
    parameters = {
        "org_id": org_id,
        **window.parameters(),
        "after_time": after.time,
        "after_id": after.id,
        "session_id": session_id,
        "size": size,
    }
    rows = await connection.execute(statement("lead/unseen"), parameters)
    return [Place(row.create_time, row.id) for row in rows]


async def owners(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    ids: Sequence[str],
    emails: Sequence[str],
    session_id: UUID | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return the leads with one of these ids or emails (in lower case), oldest first.

    With `noted`: whether the session has noted it.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "ids": [*ids],
        "emails": [*emails],
        "session_id": session_id,
    }
    return (await connection.execute(statement("lead/owners"), parameters)).all()


async def noted(
    connection: AsyncConnection, org_id: str, session_id: UUID, keys: Sequence[str]
) -> frozenset[str]:
    """Return which of these keys a session has noted."""
    parameters = {"org_id": org_id, "session_id": session_id, "keys": [*keys]}
    return frozenset(await connection.scalars(statement("lead/noted"), parameters))


async def apply(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    told: Sequence[Told],
    session_id: UUID | None = None,
) -> Sequence[sa.Row[Any]]:
    """Take over what a CRM told of leads, each id once; ids that nobody has are left out.

    Returns for each lead, by id: `updated`, whether it differs from what was known; `ftd_exists`;
    and `converted`, whether this is the first deposit that was ever seen of it.
    """
    columns = [*map(_listed, zip(*told, strict=True))] or [[] for _ in _COLUMNS]
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "session_id": session_id,
        **dict(zip(_COLUMNS, columns, strict=True)),
    }
    return (await connection.execute(statement("lead/apply"), parameters)).all()


async def count_conversions(
    connection: AsyncConnection, org_id: str, session_id: UUID, *, conversions: int, new: int
) -> None:
    """Count in a session how many of its leads have converted, and how many just now."""
    parameters = {
        "org_id": org_id,
        "session_id": session_id,
        "conversions": conversions,
        "new_conversions": new,
    }
    await connection.execute(statement("lead/count_conversions"), parameters)


async def touch(connection: AsyncConnection, org_id: str, crm: str) -> None:
    """Note that a CRM was asked about its leads with success."""
    await connection.execute(statement("lead/touch"), {"org_id": org_id, "crm": crm})


async def claim_schedule(connection: AsyncConnection, org_id: str, crm: str) -> bool:
    """Take upon oneself to make the hourly schedule of a CRM; False when it was made before."""
    parameters = {"org_id": org_id, "crm": crm}
    return await connection.scalar(statement("lead/claim_schedule"), parameters) is not None


def _listed(values: Iterable[object]) -> Sequence[object]:
    return [*values]
