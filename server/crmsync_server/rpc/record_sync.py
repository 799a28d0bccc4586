"""SyncRecord: one contact, delivered at once to one CRM or to all that can take it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.errors import EmailRequiredError, NoCrmReadyError
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.once import once
from crmsync_server.store import contact, queue, session, standing
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import SessionKind

_DISABLED = "CRM_DISABLED"
_NO_EMAIL = "EMAIL_REQUIRED"


@dataclass(frozen=True, slots=True)
class RecordSync:
    """Queues a contact with priority HIGH, in one transaction for all CRMs.

    on_queued: told of (org_id, crm) after the commit.
    """

    database: Database
    crms: Crms
    on_queued: Callable[[str, str], None]

    async def sync(self, request: pb.SyncRecordRequest) -> pb.SyncRecordResponse:
        """Queue one record; see the contract."""
        org_id = current_caller().org_id
        traits = await self._traits(request.crm)

        async def work(connection: AsyncConnection) -> pb.SyncRecordResponse:
            row = await contact.get(connection, org_id, UUID(request.contact_id))
            skipped = _skipped(traits, has_email=row.email is not None)
            ready = sorted(traits.keys() - skipped.keys())
            if not ready:
                _refuse(request, skipped)
            response = pb.SyncRecordResponse(skipped=skipped)
            for crm in ready:
                await _queue(connection, request, crm, response)
            return response

        async with self.database.org(org_id) as connection:
            response = await once(connection, request, pb.SyncRecordResponse, work)
        for crm in sorted(response.contact_syncs):
            self.on_queued(org_id, crm)
        return response

    async def _traits(self, crm: str) -> Mapping[str, CrmTraits]:
        """Return what is known of the CRMs that are asked for; outside any transaction."""
        if crm:
            return {crm: await self.crms.usable(crm)}
        return {one: await self.crms.traits(one) for one in self.crms.known}


def _skipped(traits: Mapping[str, CrmTraits], *, has_email: bool) -> dict[str, str]:
    skipped = {}
    for crm, known in traits.items():
        if not known.enabled:
            skipped[crm] = _DISABLED
        elif known.requires_email and not has_email:
            skipped[crm] = _NO_EMAIL
    return skipped


def _refuse(request: pb.SyncRecordRequest, skipped: Mapping[str, str]) -> None:
    if request.crm:
        raise EmailRequiredError(request.contact_id, request.crm)
    raise NoCrmReadyError(request.contact_id, skipped)


async def _queue(
    connection: AsyncConnection,
    request: pb.SyncRecordRequest,
    crm: str,
    response: pb.SyncRecordResponse,
) -> None:
    """Queue the contact for one CRM, and add the session and the standing to the response."""
    caller, contact_id = current_caller(), UUID(request.contact_id)
    order = queue.Order(
        crm,
        new_id(),
        SessionKind.QUEUE_CONTACT,
        caller.subject,
        high=True,
        force=request.force,
    )
    await queue.enqueue(connection, caller.org_id, queue.Selection([contact_id]), order)
    opened = await session.get(connection, caller.org_id, order.session_id)
    row = await standing.get(connection, caller.org_id, contact_id, crm)
    response.sessions.append(messages.session(opened))
    response.contact_syncs[crm].CopyFrom(messages.contact_sync(row))
