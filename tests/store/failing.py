"""Contacts that failed, for tests of what becomes of failures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from crmsync_server.store import queue
from crmsync_server.store.db import Database
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from tests.store import people
from tests.store.people import CRM, ORG


async def fail(
    database: Database,
    ids: Sequence[UUID],
    code: str = "VALIDATION_ERROR",
    *,
    retries: int = 0,
    refused: bool = False,
    crm: str = CRM,
) -> UUID:
    """Queue contacts and have them all fail at once, or be kept back; return their session."""
    order = people.order(crm)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids, order)
    async with database.org(ORG) as connection:
        rows = await people.claim(connection, len(ids), crm=crm)
    status = SyncStatus.QUEUED if refused else SyncStatus.ERROR
    outcome = AttemptOutcome.POSTPONED if refused else AttemptOutcome.REJECTED
    batch = [
        queue.Finished(
            row.contact_id,
            row.attempt,
            status,
            outcome,
            retry_count=retries,
            due_time=datetime.now(UTC) if refused else None,
            error_code="CREDENTIALS_REFUSED" if refused else code,
            error_message=f"{code} it is",
            request_id="request-1",
        )
        for row in rows
    ]
    async with database.org(ORG) as connection:
        await queue.finish(connection, ORG, crm, batch)
    return order.session_id
