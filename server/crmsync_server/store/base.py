"""Bases: what contacts and their records at a CRM last agreed on, and the standings that follow.

Whoever writes one has locked its contact's standing before, if there is one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.content import Content
from crmsync_server.store.queue import slot
from crmsync_server.store.statements import column, document, fetch, statement

Document = Mapping[str, Any]

_NO_TEXTS = "{}"


class Known(NamedTuple):
    """A contact, its standing at a CRM and its base there, in the order of find.sql's columns.

    linked_id: the record by the standing; base_id: by the base. Either is None where there is none.
    base_time: the standing's synced_time when the base was written.
    removing: whether its record is being removed by ourselves.
    unsettled: what each delivery may have brought that nobody answered, the newest last; None where
        that is not known.
    """

    id: UUID
    email: str | None
    name: str
    first_name: str
    last_name: str
    phone: str
    company: str
    tags: Sequence[str]
    notes: str
    avatar: str
    domain_id: UUID | None
    properties: Mapping[str, str]
    version: int
    content_hash: bytes
    email_key: str | None
    update_time: datetime
    deleted: bool
    sync_status: str | None
    linked_id: str | None
    synced_time: datetime | None
    synced_hash: bytes | None
    base_id: str | None
    fields: Document | None
    base_time: datetime | None
    crm_modified_time: datetime | None
    echoes: Sequence[bytes]
    conflicted: Sequence[str]
    removing: bool
    unsettled: Sequence[Document | None]

    @property
    def content(self) -> Content:
        """What the contact says."""
        return Content(*self[1:7], tuple(self.tags), *self[8:12])

    @property
    def record_id(self) -> str | None:
        """The record that it is linked to."""
        return self.base_id or self.linked_id


class Standing(NamedTuple):
    """Where reading its record leaves a contact.

    synced_hash: of the content and the salt, where both agree in everything; None where not.
    unsettled: what stays unsettled of deliveries that nobody answered.
    """

    contact_id: UUID
    crm_contact_id: str
    synced_hash: bytes | None
    unsettled: Sequence[Document | None] = ()


class Base(NamedTuple):
    """What a contact and its record agree on.

    fields: by slot, as the CRM has it; None where nothing is known.
    conflicted: the contact's fields that are in conflict.
    """

    contact_id: UUID
    crm_contact_id: str
    fields: Document | None
    crm_modified_time: datetime | None
    conflicted: Sequence[str] = ()


class Held(NamedTuple):
    """What is known of a claimed contact's record, in the order of read.sql's columns.

    unsettled: see `Known`.
    """

    contact_id: UUID
    fields: Document | None
    conflicted: Sequence[str]
    synced_time: datetime | None
    force: bool
    unsettled: Sequence[Document | None]


class Unanswered(NamedTuple):
    """What a delivery that nobody answered may have brought, in the order of the parameters.

    fields: by slot; None where that is not known.
    doubtful: whether it was not known either what those before it had brought.
    """

    contact_id: UUID
    attempt: int
    fields: Document | None
    doubtful: bool


class Delivered(NamedTuple):
    """What a delivery has told, in the order of delivered.sql's parameters.

    fields: by slot; None when nothing was sent because the CRM has it all.
    synced_before: the standing's synced_time when the delivery was made up.
    echo_before: digest of the record before, where that was known; echo: after.
    hash: what the standing's synced_hash becomes where nothing was sent; where checked, what it
        must be for the fields to be those that were delivered.
    """

    contact_id: UUID
    attempt: int
    fields: Document | None
    synced_before: datetime | None = None
    modified_time: datetime | None = None
    echo_before: bytes | None = None
    echo: bytes | None = None
    hash: bytes | None = None
    checked: bool = False


_DELIVERED = (
    *("contact_ids", "attempts", "fields", "synced_befores", "modified_times", "echoes_before"),
    *("echoes", "hashes", "checks"),
)


async def find(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    *,
    crm_contact_ids: Sequence[str] = (),
    email_keys: Sequence[str] = (),
    contact_ids: Sequence[UUID] = (),
) -> Sequence[Known]:
    """Return the contacts linked to these records, with these emails, and of these ids.

    Deleted ones only by record or id.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "crm_contact_ids": list(crm_contact_ids),
        "email_keys": list(email_keys),
        "contact_ids": list(contact_ids),
    }
    return [Known._make(row) for row in await fetch(connection, "base/find", parameters)]


async def stand(
    connection: AsyncConnection, org_id: str, crm: str, standings: Sequence[Standing]
) -> None:
    """Give locked contacts the standing that reading their records found."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "slot": slot(),
        "contact_ids": [one.contact_id for one in standings],
        "crm_contact_ids": [one.crm_contact_id for one in standings],
        "synced_hashes": [one.synced_hash for one in standings],
        "unsettled": column([_json_list(one.unsettled) for one in standings]),
    }
    await connection.execute(statement("base/stand"), parameters)


async def write(connection: AsyncConnection, org_id: str, crm: str, bases: Sequence[Base]) -> None:
    """Write down what locked contacts and their records agree on, after their standings.

    Raises:
        sqlalchemy.exc.IntegrityError: a record was linked to another contact a moment ago.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "contact_ids": [one.contact_id for one in bases],
        "crm_contact_ids": [one.crm_contact_id for one in bases],
        "fields": [_json(one.fields) for one in bases],
        "crm_modified_times": column([one.crm_modified_time for one in bases]),
        "conflicted": column([_array(one.conflicted) for one in bases], _NO_TEXTS),
    }
    await connection.execute(statement("base/write"), parameters)


async def free(
    connection: AsyncConnection, org_id: str, crm: str, crm_contact_ids: Sequence[str]
) -> None:
    """Forget which deleted contacts these records were linked to."""
    parameters = {"org_id": org_id, "crm": crm, "crm_contact_ids": list(crm_contact_ids)}
    await connection.execute(statement("base/free"), parameters)


async def unlink(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID], *, gone: bool
) -> None:
    """Forget the records of locked contacts.

    gone: whether they were removed at the CRM, and are not made anew before the contact changes.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "slot": slot(),
        "contact_ids": list(contact_ids),
        "gone": gone,
    }
    await connection.execute(statement("base/unlink"), parameters)


async def read(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID]
) -> Mapping[UUID, Held]:
    """Return what claimed contacts and their records last agreed on."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    rows = await fetch(connection, "base/read", parameters)
    return {row[0]: Held._make(row) for row in rows}


async def delivered(
    connection: AsyncConnection, org_id: str, crm: str, batch: Sequence[Delivered]
) -> None:
    """Write down what deliveries agreed on, in the transaction that has just finished them."""
    told = [one._replace(fields=_json(one.fields)) for one in batch]  # type: ignore[arg-type]
    columns = map(list, zip(*told, strict=True))
    parameters = {"org_id": org_id, "crm": crm, **dict(zip(_DELIVERED, columns, strict=True))}
    await connection.execute(statement("base/delivered"), parameters)


async def unanswered(
    connection: AsyncConnection, org_id: str, crm: str, batch: Sequence[Unanswered]
) -> None:
    """Note what deliveries may have brought, in the transaction that has just finished them."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "contact_ids": [one.contact_id for one in batch],
        "attempts": [one.attempt for one in batch],
        "fields": [_json(one.fields) for one in batch],
        "doubts": [one.doubtful for one in batch],
    }
    await connection.execute(statement("base/unanswered"), parameters)


async def removed(
    connection: AsyncConnection, org_id: str, crm: str, attempts: Sequence[tuple[UUID, int]]
) -> None:
    """Forget the records that these removals ended, in the transaction that has just done so."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "contact_ids": [contact_id for contact_id, _ in attempts],
        "attempts": [attempt for _, attempt in attempts],
    }
    await connection.execute(statement("base/removed"), parameters)


def _json(fields: Document | None) -> str | None:
    return None if fields is None else document(fields)


def _json_list(documents: Sequence[Document | None]) -> str | None:
    told = ",".join(_json(one) or "null" for one in documents)
    return f"[{told}]" if told else None


def _array(texts: Sequence[str]) -> str:
    """Return texts as Postgres writes an array: rows of unequal length do not fit in another."""
    if not texts:
        return _NO_TEXTS
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
