"""Resolving a conflict, in one transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync_server.errors import (
    ConflictClosedError,
    ContactNotFoundError,
    CrmDisabledError,
    EmailRequiredError,
)
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.conflict_choices import Choices, Sides
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.store import contact, queue, resolution
from crmsync_server.store.content import Content
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import ConflictState, SessionKind


@dataclass(frozen=True, slots=True)
class Ways:
    """How a conflict's CRM is used, as it was before the transaction."""

    traits: CrmTraits
    sides: Sides


async def resolve(
    connection: AsyncConnection, request: pb.ResolveConflictRequest, contact_id: UUID, ways: Ways
) -> sa.Row[Any]:
    """Resolve a conflict of a contact, and return it as it is then.

    Raises:
        ConflictClosedError: it is no longer open.
        ContactNotFoundError: its contact was deleted.
        InvalidRequestError: the request leaves a field out, or the contact may not say a result.
        EmailTakenError: another contact has the email that it was resolved to.
        NotSupportedError: the newest is asked for, and the CRM does not tell when.
        CrmDisabledError: the result is to be delivered, and the CRM takes no work.
        EmailRequiredError: likewise, and the contact has no email.
    """
    caller, conflict_id = current_caller(), UUID(request.conflict_id)
    # In the order that everything keeps: contact, standings, conflict.
    held = await contact.lock(connection, caller.org_id, [contact_id])
    row = await resolution.lock(connection, caller.org_id, conflict_id)
    if row.state != ConflictState.OPEN:
        raise ConflictClosedError(request.conflict_id, row.state)
    if not held:
        raise ContactNotFoundError(str(contact_id))
    choices = Choices(request, row, ways.sides)
    choices.refuse_invalid()
    written = await contact.update(connection, caller.org_id, contact_id, choices.changed)
    after = Content.of(written)
    lacks = ways.sides.lacks(after, choices.theirs)
    seen = ways.sides.seen(choices.theirs)
    await resolution.see(connection, row, seen, lacks=lacks)
    session_id = await _deliver(connection, row, ways.traits) if lacks else None
    results = choices.results(after)
    return await resolution.close(
        connection, row, results, resolver=caller.subject, session_id=session_id
    )


async def _deliver(connection: AsyncConnection, row: sa.Row[Any], traits: CrmTraits) -> UUID:
    """Queue the contact for the CRM of its conflict, and return the session that follows it."""
    if not traits.enabled:
        raise CrmDisabledError(row.crm)
    session_id = new_id()
    order = queue.Order(
        row.crm, session_id, SessionKind.RESOLVE_CONFLICT, current_caller().subject, high=True
    )
    selection = queue.Selection([row.contact_id], requires_email=traits.requires_email)
    count, _ = await queue.enqueue(connection, row.org_id, selection, order)
    if count == 0:
        raise EmailRequiredError(str(row.contact_id), row.crm)
    return session_id
