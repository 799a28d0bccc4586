"""WhatsApp accounts, their phone numbers, what webhooks told, and who is behind a number."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import fetch, statement


class Number(NamedTuple):
    """A phone number of an account, in the order of keep_numbers.sql's columns."""

    id: str
    display_number: str
    verified_name: str
    quality: str
    is_active: bool
    verified: bool


class Told(NamedTuple):
    """What a webhook told one organization, in the order of insert.sql's columns.

    key: a hash of it. change: a JSON object.
    """

    org_id: str
    key: bytes
    change: str


async def lock(connection: AsyncConnection, org_id: str) -> sa.Row[Any] | None:
    """Return the organization's account, locked until the end of the transaction.

    Whoever changes conversations does this first.
    """
    parameters = {"org_id": org_id}
    return (await connection.execute(statement("whatsapp/lock"), parameters)).one_or_none()


async def get(connection: AsyncConnection, org_id: str) -> sa.Row[Any] | None:
    """Return the organization's account; None when it has connected none."""
    parameters = {"org_id": org_id}
    return (await connection.execute(statement("whatsapp/get"), parameters)).one_or_none()


async def numbers(connection: AsyncConnection, org_id: str) -> Sequence[sa.Row[Any]]:
    """Return the phone numbers of the organization's account, in Meta's order."""
    return (await connection.execute(statement("whatsapp/numbers"), {"org_id": org_id})).all()


async def connect(
    connection: AsyncConnection, org_id: str, *, waba_id: str, business_id: str
) -> sa.Row[Any]:
    """Make the organization's account or change it, and return it; what is empty stays."""
    parameters = {
        "org_id": org_id,
        "account_id": new_id(),
        "waba_id": waba_id,
        "business_id": business_id,
    }
    return (await connection.execute(statement("whatsapp/connect"), parameters)).one()


async def found(
    connection: AsyncConnection,
    org_id: str,
    told: tuple[str, str, str],
    numbers: Sequence[Number],
) -> None:
    """Keep what Meta told: name, waba_id and business_id, where not empty; and the numbers."""
    name, waba_id, business_id = told
    parameters = {"org_id": org_id, "name": name, "waba_id": waba_id, "business_id": business_id}
    await connection.execute(statement("whatsapp/found"), parameters)
    await keep_numbers(connection, org_id, numbers)


async def keep_numbers(connection: AsyncConnection, org_id: str, numbers: Sequence[Number]) -> None:
    """Keep the phone numbers that the account has now; others become inactive."""
    names = ("ids", "display_numbers", "verified_names", "qualities", "active", "verified")
    columns = zip(*numbers, strict=True) if numbers else [()] * len(names)
    parameters = {"org_id": org_id} | dict(zip(names, map(list, columns), strict=True))
    await connection.execute(statement("whatsapp/keep_numbers"), parameters)


async def refused(connection: AsyncConnection, org_id: str) -> None:
    """Note that Meta refused the access token."""
    await connection.execute(statement("whatsapp/refused"), {"org_id": org_id})


async def owned(connection: AsyncConnection, org_id: str, business_id: str) -> None:
    """Keep whose account it is, where that is not known yet."""
    parameters = {"org_id": org_id, "business_id": business_id}
    await connection.execute(statement("whatsapp/owned"), parameters)


async def organizations(connection: AsyncConnection) -> Sequence[str]:
    """Return every organization with an account."""
    return list(await connection.scalars(statement("whatsapp/organizations")))


async def owners(
    connection: AsyncConnection, phone_number_ids: Sequence[str], waba_ids: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """Return who has one of these, over all organizations: org_id, phone_number_id, waba_id.

    One of the last two is empty.
    """
    parameters = {"phone_number_ids": list(phone_number_ids), "waba_ids": list(waba_ids)}
    return (await connection.execute(statement("whatsapp/owners"), parameters)).all()


async def insert(connection: AsyncConnection, told: Sequence[Told]) -> set[tuple[str, bytes]]:
    """Keep what webhooks told, of any organizations; return the (org_id, key) that are new."""
    org_ids, keys, changes = map(list, zip(*told, strict=True))
    parameters = {"org_ids": org_ids, "keys": keys, "changes": changes}
    rows = await fetch(connection, "whatsapp/insert", parameters)
    return {(org_id, bytes(key)) for org_id, key in rows}


async def waiting(connection: AsyncConnection) -> Sequence[str]:
    """Return the organizations for which something waits that webhooks told."""
    return list(await connection.scalars(statement("whatsapp/waiting")))


async def take(connection: AsyncConnection, org_id: str, *, size: int) -> Sequence[Any]:
    """Take what has waited longest, as JSON; done when the transaction commits."""
    parameters = {"org_id": org_id, "size": size}
    return list(await connection.scalars(statement("whatsapp/take"), parameters))


async def count_waiting(connection: AsyncConnection) -> int:
    """Return how much waits, over all organizations."""
    return int(await connection.scalar(statement("whatsapp/count_waiting")) or 0)


async def purge(connection: AsyncConnection, *, age: timedelta, size: int) -> int:
    """Forget up to so much that was worked off so long ago; return how much it was."""
    parameters = {"age": age, "size": size}
    return (await connection.execute(statement("whatsapp/purge"), parameters)).rowcount


async def people(
    connection: AsyncConnection, org_id: str, wa_ids: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """Return who is behind these numbers: wa_id, contact_id, known, nameless; others left out.

    known: whether that was remembered; else it is the oldest contact with that phone number.
    """
    parameters = {"org_id": org_id, "wa_ids": list(wa_ids)}
    return (await connection.execute(statement("whatsapp/people"), parameters)).all()


async def know(connection: AsyncConnection, org_id: str, found: Sequence[tuple[str, UUID]]) -> None:
    """Remember which contacts are behind numbers: (wa_id, contact_id)."""
    wa_ids, contact_ids = map(list, zip(*found, strict=True))
    parameters = {"org_id": org_id, "wa_ids": wa_ids, "contact_ids": contact_ids}
    await connection.execute(statement("whatsapp/know"), parameters)


async def number_of(connection: AsyncConnection, org_id: str, contact_id: UUID) -> str | None:
    """Return the number that a contact was last found behind, None where it never was."""
    parameters = {"org_id": org_id, "contact_id": contact_id}
    found: str | None = await connection.scalar(statement("whatsapp/number_of"), parameters)
    return found


async def hides(connection: AsyncConnection, org_id: str, contact_id: UUID) -> bool:
    """Tell whether a contact has written behind an id that stands for a hidden number."""
    parameters = {"org_id": org_id, "contact_id": contact_id}
    return bool(await connection.scalar(statement("whatsapp/hides"), parameters))
