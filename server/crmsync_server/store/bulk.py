"""Bulk operations: what their records name, how they do, and the records that they may mean."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import Violation
from crmsync_server.store import contact
from crmsync_server.store.content import Content
from crmsync_server.store.ids import first_id
from crmsync_server.store.statements import fetch, statement


class Operation(StrEnum):
    """What a record asks for."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    UPSERT = "UPSERT"
    DELETE = "DELETE"


class Code(StrEnum):
    """Why a record cannot be taken."""

    INVALID = "INVALID"
    DUPLICATE = "DUPLICATE"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    CONTACT_NOT_FOUND = "CONTACT_NOT_FOUND"
    EMAIL_REQUIRED = "EMAIL_REQUIRED"
    NOT_SUPPORTED = "NOT_SUPPORTED"


class Became(StrEnum):
    """What becomes of the contact of a record that is taken."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    REMOVED = "REMOVED"
    DELETED = "DELETED"


class Head(NamedTuple):
    """What a record names.

    place: where it stands. contact_id, email_key or crm_contact_id: which contact; the others are
        None.
    new_key: the key of the email that the contact is to have; None where it says nothing of it.
    """

    place: int
    operation: Operation
    contact_id: UUID | None
    email_key: str | None
    crm_contact_id: str | None
    new_key: str | None
    deletes: bool

    @property
    def may_create(self) -> bool:
        """Whether it makes a contact where there is none."""
        if self.operation is Operation.UPSERT:
            return self.email_key is not None
        return self.operation is Operation.CREATE


class Given(Protocol):
    """What a record says of a contact."""

    @property
    def content(self) -> Content:
        """What a new contact is to say."""

    def change(self, before: Content) -> Content:
        """Return what a contact is to say; raises InvalidRequestError where that breaks a rule."""


class Before(NamedTuple):
    """A contact as it is before its record is taken."""

    contact_id: UUID
    email_key: str | None
    content: Content


class Finding(NamedTuple):
    """Why a record is not taken.

    other_place: of the record that names the same contact. contact_id: whom it concerns.
    """

    place: int
    code: Code
    message: str
    violations: Sequence[Violation] = ()
    other_place: int | None = None
    contact_id: UUID | None = None


class Taken(NamedTuple):
    """What a record that is taken makes of its contact."""

    contact_id: UUID
    became: Became


@dataclass(frozen=True, slots=True)
class Terms:
    """At which CRM records are taken.

    requires_email: whether the CRM cannot hold a contact without one.
    writes: whether anything is changed, or only looked at.
    """

    crm: str
    requires_email: bool
    writes: bool = True


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one operation: their heads, and what reads the rest of one by its place.

    owners: who had their emails a while ago, as far as that was looked up.
    """

    heads: Sequence[Head]
    load: Callable[[int], Given]
    owners: Mapping[str, UUID] = field(default_factory=dict)


async def owners(
    connection: AsyncConnection, org_id: str, email_keys: Sequence[str]
) -> Mapping[str, UUID]:
    """Return the contacts that have these emails, by the email's key."""
    parameters = {"org_id": org_id, "email_keys": list(email_keys)}
    rows = await fetch(connection, "bulk/owners", parameters)
    return {row[0]: row[1] for row in rows}


async def linked(
    connection: AsyncConnection, org_id: str, crm: str, crm_contact_ids: Sequence[str]
) -> Mapping[str, UUID]:
    """Return the contacts that records of a CRM are linked to."""
    parameters = {"org_id": org_id, "crm": crm, "crm_contact_ids": list(crm_contact_ids)}
    rows = await connection.execute(statement("bulk/linked"), parameters)
    return {row.crm_contact_id: row.contact_id for row in rows}


async def links(
    connection: AsyncConnection, org_id: str, crm: str, contact_ids: Sequence[UUID]
) -> Mapping[UUID, str]:
    """Return the records that contacts are linked to at a CRM."""
    parameters = {"org_id": org_id, "crm": crm, "contact_ids": list(contact_ids)}
    rows = await connection.execute(statement("bulk/links"), parameters)
    return {row.contact_id: row.crm_contact_id for row in rows}


async def read(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> Sequence[Before]:
    """Return contacts without locking them; deleted ones are left out."""
    return await _befores(connection, "bulk/read", org_id, contact_ids)


async def lock(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> Sequence[Before]:
    """Return contacts, and lock them and their standings; deleted ones are left out.

    Raises:
        asyncpg.DeadlockDetectedError: Postgres chose this transaction to end a deadlock.
    """
    befores = await _befores(connection, "contact/lock", org_id, contact_ids)
    await contact.lock_syncs(connection, org_id, contact_ids)
    return befores


async def _befores(
    connection: AsyncConnection, name: str, org_id: str, contact_ids: Sequence[UUID]
) -> Sequence[Before]:
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids)}
    return [
        Before(row[0], row[1], Content._make((*row[3:9], tuple(row[9]), *row[10:])))
        for row in await fetch(connection, name, parameters)
    ]


async def health(
    connection: AsyncConnection, org_id: str, crm: str | None, since: datetime
) -> Sequence[sa.Row[Any]]:
    """Return how bulk operations do at each CRM, or at one; since: from when on they are recent."""
    parameters = {"org_id": org_id, "crm": crm, "first_id": first_id(since)}
    return (await connection.execute(statement("bulk/health"), parameters)).all()
