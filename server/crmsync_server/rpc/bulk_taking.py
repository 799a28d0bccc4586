"""Taking records: everything that they change and queue, in one transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ContactsBusyError
from crmsync_server.rpc.auth import current_caller
from crmsync_server.store import contact, queue
from crmsync_server.store.bulk import Records, Terms
from crmsync_server.store.bulk_taking import MovedError, Taking
from crmsync_server.store.contact import is_clash, is_deadlock
from crmsync_server.store.db import FAULTS, Database
from crmsync_server.store.states import SessionKind

Answer = TypeVar("Answer")

TRIES = 3
"""How often a transaction is begun when others change the same contacts meanwhile."""

_WAIT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """How records are to be taken: at which CRM, and how what they change is delivered."""

    terms: Terms
    kind: SessionKind
    high: bool = False
    force: bool = False


async def take(
    connection: AsyncConnection, wish: Wish, records: Records, session_id: UUID
) -> Taking:
    """Change contacts, and queue what is to be delivered and removed for one session."""
    taking = await judge(connection, wish.terms, records)
    removed, delivered = taking.contact_ids(removed=True), taking.contact_ids(removed=False)
    if delivered or not removed:
        await _enqueue(connection, wish, session_id, delivered, removing=False)
    if removed:
        await _enqueue(connection, wish, session_id, removed, removing=True)
    if deleted := taking.deleted_ids():
        await contact.delete_locked(connection, current_caller().org_id, deleted)
    return taking


async def judge(connection: AsyncConnection, terms: Terms, records: Records) -> Taking:
    """Judge records, and change contacts where the terms allow it."""
    taking = Taking(connection, current_caller().org_id, terms, records)
    await taking.run()
    return taking


async def persistently(
    database: Database, work: Callable[[AsyncConnection], Awaitable[Answer]], tries: int = TRIES
) -> Answer:
    """Do work in a transaction, again where others were at the same contacts.

    Raises:
        ContactsBusyError: others were each time.
    """
    crossed: Exception | None = None
    for _ in range(tries):
        try:
            async with database.org(current_caller().org_id) as connection:
                return await work(connection)
        except MovedError as error:
            crossed = error
        except FAULTS as error:
            if not (is_deadlock(error) or is_clash(error)):
                raise
            crossed = error
    raise ContactsBusyError(tries, _WAIT) from crossed


async def _enqueue(
    connection: AsyncConnection,
    wish: Wish,
    session_id: UUID,
    contact_ids: list[UUID],
    *,
    removing: bool,
) -> None:
    caller = current_caller()
    order = queue.Order(
        crm=wish.terms.crm,
        session_id=session_id,
        kind=wish.kind,
        creator=caller.subject,
        high=wish.high,
        force=wish.force,
        removing=removing,
    )
    await queue.enqueue(connection, caller.org_id, queue.Selection(contact_ids), order)
