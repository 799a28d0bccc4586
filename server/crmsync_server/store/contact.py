"""Contacts: the people that an organization keeps, and the source of truth for what is pushed."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ContactNotFoundError, EmailTakenError, VersionMismatchError
from crmsync_server.store.content import Content, content_hash, email_key, named
from crmsync_server.store.ids import new_id
from crmsync_server.store.statements import column, document, statement

_EMAIL_KEY = "contacts_email_key"
_DEADLOCK = "40P01"
_CLASH = "23505"  # unique_violation
_COLUMNS = (
    "emails",
    "names",
    "first_names",
    "last_names",
    "phones",
    "companies",
    "tags",
    "notes",
    "avatars",
    "domain_ids",
    "properties",
)
# What stands for nothing in a column, where that is not an empty text.
_NOTHING = {"emails": None, "tags": "{}", "domain_ids": None, "properties": "{}"}

Draft = tuple[UUID, Content]


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
    parameters = {"org_id": org_id, **_columns(drafts)}
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


async def write(
    connection: AsyncConnection, org_id: str, drafts: Sequence[Draft], *, but_for: str = ""
) -> None:
    """Give locked contacts their new content and version, and let deliveries want it.

    Args:
        connection: a transaction.
        org_id: the organization.
        drafts: the contacts, each with its content.
        but_for: a CRM for which the caller queues them all in the same transaction.

    Raises:
        sqlalchemy.exc.IntegrityError: an email is taken.
    """
    parameters = {"org_id": org_id, **_columns(drafts)}
    await connection.execute(statement("contact/write"), parameters)
    await want(connection, org_id, [contact_id for contact_id, _ in drafts], but_for)


async def want(
    connection: AsyncConnection, org_id: str, contact_ids: Sequence[UUID], but_for: str
) -> None:
    """Make deliveries of changed contacts that wait or are under way want the new version.

    but_for: see `write`.
    """
    parameters = {"org_id": org_id, "contact_ids": list(contact_ids), "but_for": but_for}
    await connection.execute(statement("contact/want"), parameters)


def is_deadlock(error: sa.exc.DBAPIError) -> bool:
    """Tell whether Postgres chose this transaction to end a deadlock; it may be tried again."""
    return _sqlstate(error) == _DEADLOCK


def is_clash(error: sa.exc.DBAPIError) -> bool:
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


def _sqlstate(error: sa.exc.DBAPIError) -> str | None:
    driver_error = error.orig.__cause__ if error.orig else None
    return getattr(driver_error, "sqlstate", None)


def _constraint(error: sa.exc.IntegrityError) -> str | None:
    """Return the name of the constraint that a statement broke."""
    driver_error = error.orig.__cause__ if error.orig else None
    return getattr(driver_error, "constraint_name", None)


def _columns(drafts: Sequence[Draft]) -> dict[str, list[Any] | None]:
    """Return the parameters of insert.sql and write.sql: a list for each column that says any."""
    contents = [content for _, content in drafts]
    columns = dict(zip(_COLUMNS, map(list, zip(*contents, strict=True)), strict=True))
    columns["tags"] = [_array(tags) for tags in columns["tags"]]
    columns["properties"] = [_object(properties) for properties in columns["properties"]]
    told = {name: column(values, _NOTHING.get(name, "")) for name, values in columns.items()}
    told["ids"] = [contact_id for contact_id, _ in drafts]
    told["content_hashes"] = [content_hash(content) for content in contents]
    return told


def _array(texts: Sequence[str]) -> str:
    """Return texts as Postgres writes an array: rows of unequal length do not fit in another."""
    if not texts:
        return "{}"
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return '{"' + '","'.join(quoted) + '"}'


def _object(properties: dict[str, str]) -> str:
    return document(properties) if properties else "{}"
