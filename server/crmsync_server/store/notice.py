"""Notices: what CRMs told by webhooks, kept until the records were read, and for a while after.

Whoever claims notices has until their due time to see to them; that time is also the fence: once
somebody else has claimed them it is another, and the first one writes nothing more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


class Told(NamedTuple):
    """What a CRM told of one record, in the order of insert.sql's columns.

    key: the same for the same notice sent again, 1 to 200 characters.
    crm_contact_id or email: which record; the other one is empty.
    """

    key: str
    kind: str
    crm_contact_id: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Notices of one organization and CRM that were claimed together, and until when."""

    org_id: str
    crm: str
    until: datetime


class Later(NamedTuple):
    """When a notice is due again, and why, in the order of put_off.sql's columns.

    code: of what kept it from being seen to; None where nothing did.
    counted: whether it counts as a try; tries of another code begin anew.
    """

    key: str
    rest: timedelta
    code: str | None = None
    counted: bool = False


async def insert(
    connection: AsyncConnection, org_id: str, crm: str, told: Sequence[Told], rest: timedelta
) -> int:
    """Keep notices, due after a rest, and return how many are new."""
    columns = zip(*told, strict=True) if told else iter([()] * len(Told._fields))
    keys, kinds, crm_contact_ids, emails = map(list, columns)
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "keys": keys,
        "kinds": kinds,
        "crm_contact_ids": crm_contact_ids,
        "emails": emails,
        "rest": rest,
    }
    return (await connection.execute(statement("notice/insert"), parameters)).rowcount


async def due_lanes(connection: AsyncConnection) -> Sequence[sa.Row[Any]]:
    """Return org_id and crm, of any organization, for which notices wait.

    wait_seconds: until the first of them is due, 0 when one is.
    """
    return (await connection.execute(statement("notice/due_lanes"))).all()


async def claim(
    connection: AsyncConnection, org_id: str, crm: str, *, size: int, lease: timedelta
) -> Sequence[sa.Row[Any]]:
    """Claim due notices under a lease, the first due first; empty when none is due.

    Each has key, kind, crm_contact_id, email, receive_time, retry_count, outcome (the code of what
    kept it back before, if anything), age (an interval) and due_time, which is the hold's `until`.
    """
    parameters = {"org_id": org_id, "crm": crm, "size": size, "lease": lease}
    return (await connection.execute(statement("notice/claim"), parameters)).all()


async def renew(
    connection: AsyncConnection, hold: Hold, keys: Sequence[str], *, lease: timedelta
) -> datetime | None:
    """Prolong the lease of those that are still held; return until when, None without any."""
    parameters = {**_held(hold), "keys": list(keys), "lease": lease}
    until: datetime | None = await connection.scalar(statement("notice/renew"), parameters)
    return until


async def finish(
    connection: AsyncConnection, hold: Hold, outcomes: Mapping[str, str]
) -> Sequence[str]:
    """Note what became of notices, by key; return those that were still held, alone noted."""
    parameters = {
        **_held(hold),
        "keys": list(outcomes),
        "outcomes": list(outcomes.values()),
    }
    return list(await connection.scalars(statement("notice/finish"), parameters))


async def put_off(connection: AsyncConnection, hold: Hold, later: Sequence[Later]) -> None:
    """Let go of notices that are still held, until they are due again."""
    keys, rests, codes, counted = map(list, zip(*later, strict=True))
    parameters = {
        **_held(hold),
        "keys": keys,
        "rests": rests,
        "codes": codes,
        "counted": counted,
    }
    await connection.execute(statement("notice/put_off"), parameters)


async def linked(
    connection: AsyncConnection, org_id: str, crm: str, email_keys: Sequence[str]
) -> Mapping[str, str]:
    """Return the CRM's ids of records that contacts with these emails are linked to, by email."""
    parameters = {"org_id": org_id, "crm": crm, "email_keys": list(email_keys)}
    rows = await connection.execute(statement("notice/linked"), parameters)
    return {row.email_key: row.crm_contact_id for row in rows}


async def delivered(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[Any]
) -> Sequence[Any]:
    """Return those of the contacts that were ever claimed for delivery to the CRM."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    return list(await connection.scalars(statement("notice/delivered"), parameters))


async def waiting(connection: AsyncConnection) -> Mapping[str, int]:
    """Return how many notices wait, over all organizations, by CRM."""
    rows = await connection.execute(statement("notice/waiting"))
    return {row.crm: row.waiting for row in rows}


async def purge(connection: AsyncConnection, *, age: timedelta, size: int) -> int:
    """Forget up to so many notices that were seen to so long ago; return how many they were."""
    parameters = {"age": age, "size": size}
    return (await connection.execute(statement("notice/purge"), parameters)).rowcount


def _held(hold: Hold) -> dict[str, Any]:
    return {"org_id": hold.org_id, "crm": hold.crm, "until": hold.until}
