"""Contacts: the people that an organization keeps, and the source of truth for what is pushed."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ContactNotFoundError, EmailTakenError, VersionMismatchError
from crmsync_server.store.contact_columns import Draft, Rewriting, columns
from crmsync_server.store.content import Content, email_key, named
from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import statement

_EMAIL_KEY = "contacts_email_key"
_DEADLOCK = "40P01"
_CLASH = "23505"  # unique_violation


async def create(connection: AsyncConnection, org_id: str, content: Content) -> sa.Row[Any]:
    """Add a contact and return it.

    Raises:
        EmailTakenError: a contact has this email already.
    """
    draft = (new_id(), named(content))
    while not await insert(connection, org_id, [draft]):
        await _refuse_taken(connection, org_id, content)
    return await get(connection, org_id, draft[0])


async def get(connection: AsyncConnection, org_id: str, contact_id: UUID) -> sa.Row[Any]:
    """Return a contact.

    Raises:
        ContactNotFoundError: the organization has none of this id.
    """
    parameters = {"org_id": org_id, "contact_id": contact_id}
    row = (await connection.execute(statement("contact/get"), parameters)).one_or_none()
    if row is None:
        raise ContactNotFoundError(str(contact_id))
    return row


async def update(
    connection: AsyncConnection,
    org_id: str,
    contact_id: UUID,
    change: Callable[[Content], Content],
    version: int = 0,
) -> sa.Row[Any]:
    """Change a contact and return it; its version rises if anything changed.

    Args:
        connection: a transaction.
        org_id: the organization.
        contact_id: the contact.
        change: makes the new content of the present one.
        version: which version the change is meant for; 0 means any.

    Raises:
        ContactNotFoundError: the organization has none of this id.
        VersionMismatchError: the contact is at another version.
        EmailTakenError: another contact has the new email.
    """
    row = await _locked(connection, org_id, contact_id)
    if version not in {0, row.version}:
        raise VersionMismatchError(row.version)
    before = Content.of(row)
    after = named(change(before), before)
    if after != before:
        await _write_or_refuse(connection, org_id, (contact_id, after))
    return await get(connection, org_id, contact_id)


async def delete(connection: AsyncConnection, org_id: str, contact_id: UUID) -> None:
    """Delete a contact; deliveries of it that wait end as skipped.

    Raises:
        ContactNotFoundError: the organization has none of this id.
    """
    await _locked(connection, org_id, contact_id)
    await delete_locked(connection, org_id, [contact_id])


async def delete_locked(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> None:
    """Delete locked contacts; deliveries of them that wait end as skipped."""
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids)}
    await connection.execute(statement("contact/delete"), parameters)


async def insert(connection: AsyncConnection, org_id: str, drafts: Sequence[Draft]) -> set[UUID]:
    """Add contacts, but for those whose email is taken; return which were added.

    Drafts with emails come sorted by their email_key, so that two transactions cannot wait for
    each other.
    """
    parameters = {"org_id": org_id, **columns(drafts)}
    added = await connection.scalars(statement("contact/insert"), parameters)
    return set(added)


async def find(
    connection: AsyncConnection, org_id: str, email_keys: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """Return the contacts that have one of these emails."""
    # A plan for these very emails. Before a young table is analyzed, the one for any emails walks
    # through the organization and compares each contact with each email in turn (measured with
    # 40,000 contacts and a thousand emails: 400 ms, not 10).
    await connection.execute(sa.text("SET LOCAL plan_cache_mode = force_custom_plan"))
    parameters = {"org_id": org_id, "email_keys": list(email_keys)}
    return (await connection.execute(statement("contact/find"), parameters)).all()


async def lock(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]
) -> Sequence[sa.Row[Any]]:
    """Lock contacts and their standings; return their ids, keys, versions and content.

    Deleted ones are left out.

    Until the end of the transaction nobody else changes, claims or queues them.
    """
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids)}
    rows = (await connection.execute(statement("contact/lock"), parameters)).all()
    await lock_syncs(connection, org_id, contact_ids)
    return rows


async def lock_syncs(connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID]) -> None:
    """Lock the standings of locked contacts."""
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids)}
    await connection.execute(statement("contact/lock_syncs"), parameters)


async def write(connection: AsyncConnection, org_id: str, drafts: Sequence[Draft]) -> None:
    """Give locked contacts their new content and version, and let deliveries want it.

    Raises:
        sqlalchemy.exc.IntegrityError: an email is taken.
    """
    await rewrite(connection, org_id, Rewriting.of(drafts))


async def rewrite(
    connection: AsyncConnection, org_id: str, what: Rewriting, *, but_for: str = ""
) -> None:
    """Write what was drawn up; see `write`.

    but_for: a CRM for which the caller queues all of them in the same transaction.
    """
    parameters = {"org_id": org_id, "ids": what.contact_ids, **what.columns}
    await connection.execute(statement("contact/write"), parameters)
    await want(connection, org_id, what.contact_ids, but_for)


async def want(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID], but_for: str
) -> None:
    """Make deliveries of changed contacts that wait or are under way want the new version.

    but_for: see `write`.
    """
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids), "but_for": but_for}
    await connection.execute(statement("contact/want"), parameters)


def is_deadlock(error: Exception) -> bool:
    """Tell whether Postgres chose this transaction to end a deadlock; it may be tried again."""
    return _sqlstate(error) == _DEADLOCK


def is_clash(error: Exception) -> bool:
    """Tell whether another transaction took a key, such as an email, a moment before."""
    return _sqlstate(error) == _CLASH


async def _locked(connection: AsyncConnection, org_id: str, contact_id: UUID) -> sa.Row[Any]:
    rows = await lock(connection, org_id, [contact_id])
    if not rows:
        raise ContactNotFoundError(str(contact_id))
    return rows[0]


async def _write_or_refuse(connection: AsyncConnection, org_id: str, draft: Draft) -> None:
    # After the violation Postgres answers nothing but a rollback; the savepoint keeps that small
    # enough to ask who has the email. Again, when that one is gone by then.
    while True:
        await connection.execute(sa.text("SAVEPOINT written"))
        try:
            return await write(connection, org_id, [draft])
        except sa.exc.IntegrityError as error:
            if _constraint(error) != _EMAIL_KEY:
                raise
            await connection.execute(sa.text("ROLLBACK TO SAVEPOINT written"))
        await _refuse_taken(connection, org_id, draft[1])


async def _refuse_taken(connection: AsyncConnection, org_id: str, content: Content) -> None:
    key = email_key(content.email)
    for other in await find(connection, org_id, [key] if key else []):
        raise EmailTakenError(str(other.id))


def _sqlstate(error: Exception) -> str | None:
    """Return the code of an error: of SQLAlchemy's, or the driver's own."""
    wraps = isinstance(error, sa.exc.DBAPIError) and error.orig
    return getattr(wraps.__cause__ if wraps else error, "sqlstate", None)


def _constraint(error: sa.exc.IntegrityError) -> str | None:
    """Return the name of the constraint that a statement broke."""
    driver_error = error.orig.__cause__ if error.orig else None
    return getattr(driver_error, "constraint_name", None)
